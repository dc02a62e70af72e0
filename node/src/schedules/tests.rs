use jiff::Timestamp;
use rmpv::Value;

use super::{
    action::Action,
    info::ScheduleInfo,
    spec::{Spec, check_name},
};
use crate::{
    schedule::{Options, Plan},
    store::ScheduleRow,
};

fn spec(when: &str, action: Action) -> Spec {
    Spec { when: when.parse().expect(when), action, options: Options::default() }
}

fn actions() -> Vec<Action> {
    let name = || "garden".to_owned();
    vec![
        Action::Ask { swarm: name(), text: "daily \"digest\"".into() },
        Action::Broadcast { swarm: name(), endpoint: "sum".into(), args: vec![1.into(), Value::Binary(vec![0, 255])] },
        Action::Emit { swarm: None, subject: "a.b".into(), data: Value::Map(vec![("n".into(), 1.into())]) },
        Action::Exec { argv: vec!["true".into(), "a b".into()] },
    ]
}

#[test]
fn what_is_kept_comes_back_as_it_was() {
    for action in actions() {
        for when in ["every 30s", "cron 0 9 * * mon-fri Europe/London", "solar sunset-30m 51.5 -0.1 jitter 5m"] {
            let spec = spec(when, action.clone());
            let row =
                ScheduleRow { name: "x".into(), spec: spec.write().unwrap(), state: String::new(), created_ms: 1 };
            assert_eq!(Spec::read(&row).as_ref(), Ok(&spec), "{row:?}");
        }
    }
}

#[test]
fn actions_are_read_as_programs_write_them() {
    let read = |json: &str| serde_json::from_str::<Action>(json);
    let ask = Action::Ask { swarm: "garden".into(), text: "hi".into() };
    assert_eq!(read(r#"{"ask": {"swarm": "garden", "text": "hi"}}"#).unwrap(), ask);
    let emit = Action::Emit { swarm: None, subject: "a.b".into(), data: Value::Nil };
    assert_eq!(read(r#"{"emit": {"subject": "a.b"}}"#).unwrap(), emit);
    for wrong in [r#"{"ask": {"text": "hi", "x": 1}}"#, r#"{"rm": {}}"#, r#"{"exec": {"argv": "true"}}"#] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn names() {
    for good in ["digest", "a", "weekday_digest", "x.y-z", &"n".repeat(64)] {
        assert!(check_name(good).is_ok(), "{good}");
    }
    for bad in ["", "-n", "two words", "a/b", "../x", "é", "a\u{1b}b", &"n".repeat(65)] {
        assert!(check_name(bad).is_err(), "{bad}");
    }
}

#[test]
fn too_much_is_not_kept() {
    let long = Action::Ask { swarm: String::new(), text: "x".repeat(70_000) };
    assert!(spec("every 1h", long).write().is_err());
}

#[test]
fn what_a_stopped_node_keeps_is_shown_with_a_run_to_come() {
    let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    let spec = spec("cron 0 9 * * *", actions().remove(0));
    let plan = Plan::new(spec.when.clone(), spec.options, now, &mut rand::rng());
    let state = serde_json::to_string(&plan.saved()).unwrap();
    let row = ScheduleRow { name: "x".into(), spec: spec.write().unwrap(), state, created_ms: 1 };
    let later: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
    let shown = |row: &ScheduleRow| ScheduleInfo::kept(row, later);
    assert_eq!(shown(&row).next.unwrap().to_string(), "2026-11-26T09:00:00Z");
    let broken = ScheduleRow { spec: "{}".into(), ..row.clone() };
    assert!(shown(&broken).problem.is_some());
    let fresh = ScheduleRow { state: "nonsense".into(), ..row };
    assert_eq!(shown(&fresh).next.unwrap().to_string(), "2026-11-26T09:00:00Z");
}
