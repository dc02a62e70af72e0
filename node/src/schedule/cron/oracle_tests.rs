//! Random expressions against croner, half of them around clock changes.

use jiff::{SignedDuration, Zoned};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::*;

const ZONES: [&str; 8] = [
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",
    "UTC",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Pacific/Apia",
];
const SEED: &str = "P2PNODE_SCHEDULE_SEED";
/// Runs that are followed from each start.
const RUNS: usize = 6;
/// 2012 to 2036: São Paulo and Apia had summer time in the first years; Apia left out a whole day in 2011, over which
/// croner gives up.
const FIRST: i64 = 1_325_376_000;
const LAST: i64 = 2_082_758_400;

fn rng() -> StdRng {
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("{SEED}={seed}");
    StdRng::seed_from_u64(seed)
}

fn item(rng: &mut impl Rng, low: u8, high: u8) -> String {
    let (a, b) = (rng.random_range(low..=high), rng.random_range(low..=high));
    let (a, b) = (a.min(b), a.max(b));
    let step = rng.random_range(1..=(high / 2).max(2));
    match rng.random_range(0..10) {
        0..5 => a.to_string(),
        5..7 => format!("*/{step}"),
        7..9 => format!("{a}-{b}"),
        // Croner takes the last step of a field for that of all: it calls `1-1/2` a fixed time if `1-1/1` follows.
        _ if a == b => a.to_string(),
        _ => format!("{a}-{b}/{step}"),
    }
}

fn field(rng: &mut impl Rng, low: u8, high: u8, stars: f64) -> String {
    if rng.random_bool(stars) {
        return "*".to_owned();
    }
    let items = if rng.random_bool(0.8) { 1 } else { rng.random_range(2..4) };
    (0..items).map(|_| item(rng, low, high)).collect::<Vec<_>>().join(",")
}

fn weekday(rng: &mut impl Rng) -> String {
    const NAMED: [&str; 6] = ["mon-fri", "sat,sun", "fri-sun", "sun", "TUE", "mon-wed/2"];
    match rng.random_range(0..10) {
        0..5 => "*".to_owned(),
        5..7 => NAMED.choose(rng).copied().unwrap_or("*").to_owned(),
        _ => field(rng, 0, 7, 0.0),
    }
}

fn expression(rng: &mut impl Rng) -> String {
    // Hours in which clocks are changed, and any.
    let hour = if rng.random_bool(0.5) { field(rng, 0, 4, 0.1) } else { field(rng, 0, 23, 0.3) };
    let second = if rng.random_bool(0.2) { field(rng, 0, 59, 0.1) + " " } else { String::new() };
    let (minute, day) = (field(rng, 0, 59, 0.2), field(rng, 1, 31, 0.6));
    format!("{second}{minute} {hour} {day} {} {}", field(rng, 1, 12, 0.6), weekday(rng))
}

fn start(rng: &mut impl Rng, tz: &TimeZone) -> Timestamp {
    let anywhere = Timestamp::from_second(rng.random_range(FIRST..LAST)).expect("in range");
    let change = tz.following(anywhere).next().filter(|_| rng.random_bool(0.5));
    let near = SignedDuration::from_secs(rng.random_range(-86_400..86_400));
    change.map_or(anywhere, |change| change.timestamp() + near)
}

/// How often the two were asked, and where they differ.
#[derive(Default)]
struct Tally {
    asked: usize,
    refused: usize,
    differences: Vec<String>,
}

fn compare(rng: &mut impl Rng, tally: &mut Tally) {
    let expression = expression(rng);
    let name = ZONES.choose(rng).copied().expect("eight");
    let tz = TimeZone::get(name).expect(name);
    let oracle: croner::Cron = expression.parse().expect(&expression);
    let mut at = start(rng, &tz);
    let Ok(ours) = Cron::parse(&words(&expression), expression.len()) else {
        tally.refused += 1;
        assert!(oracle.find_next_occurrence(&at.to_zoned(tz), false).is_err(), "{expression}");
        return;
    };
    for _ in 0..RUNS {
        let theirs = oracle.find_next_occurrence(&at.to_zoned(tz.clone()), false).ok();
        let (next, theirs) = (ours.next(at, &tz), theirs.map(|zoned: Zoned| zoned.timestamp()));
        tally.asked += 1;
        if next != theirs {
            tally.differences.push(format!("`{expression}` {name} after {at}: {next:?}, croner {theirs:?}"));
        }
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
}

fn agree(expressions: usize) {
    let (mut rng, mut tally) = (rng(), Tally::default());
    for _ in 0..expressions {
        compare(&mut rng, &mut tally);
    }
    let Tally { asked, refused, differences } = tally;
    println!("{expressions} expressions, {refused} refused, {asked} runs asked for, {} differences", differences.len());
    assert!(differences.is_empty(), "{:#?}", differences.get(..differences.len().min(20)));
    assert!(refused * 20 < expressions && asked > expressions * 4, "the test tests something");
}

#[test]
fn agrees_with_croner() {
    agree(3_000);
}

#[test]
#[ignore = "ten seconds in debug; runs in .ci/long"]
fn agrees_with_croner_on_many() {
    agree(100_000);
}

#[test]
fn what_is_refused_never_runs() {
    for expression in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "*/5 * 30-31 feb *"] {
        assert!(Cron::parse(&words(expression), 0).is_err(), "{expression}");
        let oracle: croner::Cron = expression.parse().expect(expression);
        assert!(oracle.find_next_occurrence(&Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC), false).is_err());
    }
}
