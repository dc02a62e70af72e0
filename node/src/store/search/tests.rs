use super::{token::TOKEN_MAX, *};

fn search(text: &str) -> Search {
    Search::parse(text, Join::All).unwrap()
}

fn finds(query: &str, text: &str) -> bool {
    search(query).finds(&index_text(text))
}

#[test]
fn words() {
    assert_eq!(
        index_text("Ünïcode: ÄÖ ß Straße İ ΑΓΣς Жук 東京タワー 🦀 a_b foo-bar"),
        "unicode ao ß straße i αγσσ жук 東京タワー a b foo bar"
    );
    let all: Vec<_> = tokens("a  Bé.").collect();
    assert_eq!(all[1], Token { word: "be".into(), span: 3..6 });
    assert_eq!(index_text(&"x".repeat(2_000)).len(), TOKEN_MAX);
}

#[test]
fn language() {
    let text = "The fire in the kitchen was put out by Zoë at 10:30";
    for (query, found) in [
        ("fire", true),
        ("FIRE kitchen", true),
        ("fire cellar", false),
        ("fire OR cellar", true),
        ("cellar OR attic", false),
        ("kit*", true),
        ("kit", false),
        ("\"fire in the\"", true),
        ("\"in fire\"", false),
        ("\"was put o\"*", true),
        ("fire -kitchen", false),
        ("fire -cellar", true),
        ("fire NOT cellar", true),
        ("fire AND kitchen", true),
        ("zoe", true),
        ("10:30", true),
        ("30:10", false),
        ("fire NEAR kitchen", true),
        ("kitchen NEAR fire", true),
        ("fire NEAR/1 kitchen", false),
        ("fire NEAR/2 kitchen", true),
        ("fire NEAR/2 kitchen NEAR/2 put", false),
        ("(fire OR cellar) -(attic OR roof)", true),
        ("(fire OR cellar) -(attic OR put)", false),
        ("near", false),
        ("\"OR\" OR out", true),
    ] {
        assert_eq!(finds(query, text), found, "{query}");
    }
    let any = Search::parse("cellar out", Join::Any).unwrap();
    assert!(any.finds(&index_text(text)));
}

#[test]
fn mistakes_point_at_the_place() {
    let bad = |text: &str| Search::parse(text, Join::All).unwrap_err();
    for (text, span) in [
        ("", 0..0),
        ("fire \"kitchen", 5..13),
        ("(fire", 0..1),
        ("fire)", 4..5),
        ("fire 🦀", 5..9),
        ("-fire", 0..5),
        ("fire OR", 7..7),
        ("OR fire", 0..2),
        ("NEAR fire", 0..4),
        ("fire NEAR", 5..9),
        ("fire NEAR/x water", 5..11),
        ("fire NEAR/2 a NEAR/3 b", 14..20),
        ("a AND", 2..5),
        ("AND a", 0..3),
        ("a - b", 2..3),
        ("()", 1..2),
        ("--a", 1..2),
    ] {
        let error = bad(text);
        assert_eq!(error.span, span, "{text}: {error}");
        assert!(!error.hint.is_empty());
    }
    bad(&"x".repeat(257));
    bad(&"é".repeat(200));
    bad(&"x ".repeat(33));
    bad(&format!("{}a{}", "(".repeat(17), ")".repeat(17)));
    search(&format!("{}a{}", "(".repeat(16), ")".repeat(16)));
    search(&"x ".repeat(32));
}

#[test]
fn marks() {
    assert_eq!(mark("The fire\nburns, a FIRE!", &search("fire")), "The [fire] burns, a [FIRE]!");
    assert_eq!(mark("a b c", &search("\"a b\" OR \"b c\"")), "[a b c]");
    assert_eq!(mark("kitchen", &search("kit*")), "[kitchen]");
    assert_eq!(mark("nothing here", &search("fire")), "nothing here");
    assert_eq!(mark("a b", &search("a -b")), "[a] b");
    let long = format!("{} fire {}", "word ".repeat(100), "more ".repeat(100));
    let marked = mark(&long, &search("fire"));
    assert!(marked.starts_with("…word") && marked.ends_with('…') && marked.contains("[fire]"), "{marked}");
    assert!(marked.chars().count() <= 160 + 4, "{marked}");
    let end = format!("{}fire", "word ".repeat(100));
    assert!(mark(&end, &search("fire")).ends_with(" [fire]"));
    assert!(mark(&end, &search("fire")).chars().count() > 140);
    mark(&"é".repeat(10_000), &search("é*"));
    mark("", &search("é*"));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_panics(query in "[ a-c\"()*é/🦀NEAROR0-9\\-]{0,40}", text in "[ a-cé\n🦀]{0,400}") {
            if let Ok(search) = Search::parse(&query, Join::Any) {
                search.finds(&index_text(&text));
                let marked = mark(&text, &search);
                prop_assert!(marked.chars().filter(|c| !"[]…".contains(*c)).count() <= 160);
            }
        }
    }
}
