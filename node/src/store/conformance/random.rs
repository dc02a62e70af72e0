//! Random steps, done with memory and with a file: each answer is the same.

#![cfg(feature = "store")]

use p2pnode_wire::ids::EventId;
use proptest::prelude::*;

use super::{Make, author, feed_row, inbox_row, mail_id, outbox_row, swarm, talk};
use crate::store::{
    ConversationQuery, EventQuery, InboxQuery, InboxState, Options, Order, OutboxQuery, OutboxState, Read, SearchQuery,
    Store, StoreError, Taken, Write,
    search::{Join, Search},
};

const TEXTS: [&str; 6] = ["", "fox", "red fox", "The FOX, the Fuchs and the füchs", "a b c fox d e", "日本 fox"];
const SEARCHES: [&str; 6] = ["fox", "f*", "red OR fuchs", "fox -red", "b NEAR/1 fox", "\"the fox\""];

/// Steps inside jobs are small numbers, so that they meet.
#[derive(Debug, Clone)]
enum Step {
    Event { author: u8, swarm: u8, seq: u64, talk: u8, at: u64, live: bool, text: usize },
    RemoveEvents { author: u8, swarm: u8, below: u64 },
    RemoveFeed { author: u8, swarm: u8 },
    Feed { author: u8, swarm: u8, cut: u64 },
    RemoveLive { before: u64 },
    Inbox { from: u8, id: u8, talk: u8, at: u64, state: bool, text: Option<usize> },
    RemoveInbox { from: u8, id: u8 },
    Outbox { id: u8, talk: u8, at: u64, settled: bool, text: Option<usize> },
    RemoveOutbox { id: u8 },
    Taken { id: u8, at: u64 },
    Forget { before: u64, keep: u64 },
    Note { key: u8, value: Option<u8> },
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0u64..6, 1 => Just(u64::MAX), 1 => Just(1u64 << 43)]
}

fn step() -> impl Strategy<Value = Step> {
    let text = || proptest::option::of(0..TEXTS.len());
    prop_oneof![
        8 => (1u8..3, 1u8..3, 0u64..6, 0u8..3, time(), any::<bool>(), 0..TEXTS.len()).prop_map(
            |(author, swarm, seq, talk, at, live, text)| Step::Event { author, swarm, seq, talk, at, live, text }
        ),
        2 => (1u8..3, 1u8..3, 0u64..6).prop_map(|(author, swarm, below)| Step::RemoveEvents { author, swarm, below }),
        1 => (1u8..3, 1u8..3).prop_map(|(author, swarm)| Step::RemoveFeed { author, swarm }),
        2 => (1u8..3, 1u8..3, time()).prop_map(|(author, swarm, cut)| Step::Feed { author, swarm, cut }),
        1 => time().prop_map(|before| Step::RemoveLive { before }),
        4 => (1u8..3, 0u8..4, 0u8..4, time(), any::<bool>(), text()).prop_map(
            |(from, id, talk, at, state, text)| Step::Inbox { from, id, talk, at, state, text }
        ),
        1 => (1u8..3, 0u8..4).prop_map(|(from, id)| Step::RemoveInbox { from, id }),
        4 => (0u8..4, 0u8..4, time(), any::<bool>(), text())
            .prop_map(|(id, talk, at, settled, text)| Step::Outbox { id, talk, at, settled, text }),
        1 => (0u8..4).prop_map(|id| Step::RemoveOutbox { id }),
        1 => (0u8..4, time()).prop_map(|(id, at)| Step::Taken { id, at }),
        1 => (time(), 0u64..3).prop_map(|(before, keep)| Step::Forget { before, keep }),
        1 => (0u8..3, proptest::option::of(any::<u8>())).prop_map(|(key, value)| Step::Note { key, value }),
    ]
}

fn make(author: u8, swarm: u8, seq: u64) -> Make {
    Make { author, swarm, seq, ..Make::default() }
}

/// Does a step; what it answers, in words.
fn apply(tables: &mut dyn Write, step: &Step) -> Result<String, StoreError> {
    Ok(match *step {
        Step::Event { author, swarm, seq, talk, at, live, text } => {
            let row = Make { talk, at_ms: at, received_ms: at, live, ..make(author, swarm, seq) }.event();
            format!("{:?}", tables.insert_event(&row, TEXTS[text])?)
        }
        Step::RemoveEvents { author, swarm, below } => {
            format!("{:?}", tables.remove_events(&make(author, swarm, 0).feed(), below)?)
        }
        Step::RemoveFeed { author, swarm } => format!("{:?}", tables.remove_feed(&make(author, swarm, 0).feed())?),
        Step::Feed { author, swarm, cut } => {
            let mut row = feed_row(make(author, swarm, 0).feed(), vec![(0, 1), (2, 4), (5, u64::MAX)]);
            row.cut_below(cut, Some(EventId([1; 32])));
            format!("{:?}", tables.put_feed(&row)?)
        }
        Step::RemoveLive { before } => format!("{:?}", tables.remove_live(before)?),
        Step::Inbox { from, id, talk, at, state, text } => {
            let mut row = inbox_row(from, id, talk, at);
            row.state = if state { InboxState::Read } else { InboxState::Unread };
            row.received_ms = at;
            format!("{:?}", tables.put_inbox(&row, text.map(|text| TEXTS[text]))?)
        }
        Step::RemoveInbox { from, id } => format!("{:?}", tables.remove_inbox(&author(from), &mail_id(id))?),
        Step::Outbox { id, talk, at, settled, text } => {
            let mut row = outbox_row(id, talk, at);
            row.state = if settled { OutboxState::Stored } else { OutboxState::Sent };
            format!("{:?}", tables.put_outbox(&row, text.map(|text| TEXTS[text]))?)
        }
        Step::RemoveOutbox { id } => format!("{:?}", tables.remove_outbox(&mail_id(id))?),
        Step::Taken { id, at } => {
            let taken = Taken { author: author(1), id: mail_id(id), sha256: [id; 32], at_ms: at };
            format!("{:?}", tables.put_taken(&taken)?)
        }
        Step::Forget { before, keep } => format!("{:?}", tables.forget_taken(before, keep)?),
        Step::Note { key, value } => {
            let value = value.map(|value| [value]);
            format!("{:?}", tables.put_note(&key.to_string(), value.as_ref().map(|value| &value[..]))?)
        }
    })
}

/// All that can be asked, in words.
fn look(tables: &dyn Read) -> Result<Vec<String>, StoreError> {
    let mut out = Vec::new();
    out.push(format!("{:?}", tables.feeds(None)?));
    for order in [Order::Newest, Order::Oldest] {
        for conversation in [None, Some(talk(1))] {
            for swarm in [None, Some(swarm(1))] {
                let mut query = EventQuery { order, conversation, swarm, limit: 4, ..Default::default() };
                let first = tables.events(&query)?;
                query.after = first.last().map(|row| (row.time_ms(), row.id));
                query.limit = 99;
                out.push(format!("{first:?} {:?}", tables.events(&query)?));
            }
        }
    }
    let kinds = vec!["reply".to_owned()];
    let query = EventQuery {
        kinds,
        author: Some(author(1)),
        since_ms: Some(2),
        until_ms: Some(6),
        limit: 9,
        ..Default::default()
    };
    out.push(format!("{:?}", tables.events(&query)?));
    out.push(format!("{:?}", tables.conversations(&ConversationQuery { limit: 99, ..Default::default() })?));
    for text in SEARCHES {
        let search = Search::parse(text, Join::All).unwrap();
        let query = SearchQuery { search, swarm: None, author: None, since_ms: None, limit: 99 };
        out.push(format!("{text}: {:?}", tables.search(&query)?));
    }
    out.push(format!("{:?}", tables.inbox(&InboxQuery { limit: 99, ..Default::default() })?));
    out.push(format!("{:?} {:?}", tables.inbox_use(&author(1))?, tables.talk_use(&talk(1), &author(1), 3)?));
    out.push(format!("{:?}", tables.talk_use(&talk(1), &author(9), 0)?));
    out.push(format!("{:?}", tables.outbox(&OutboxQuery { limit: 99, ..Default::default() })?));
    out.push(format!("{:?}", tables.outbox_waiting()?));
    out.push(format!("{:?}", tables.taken(&author(1), &mail_id(1))?));
    out.push(format!("{:?} {:?}", tables.notes("")?, tables.cut_time(&swarm(1), 2, 2_000)?));
    let mut stats = tables.stats()?;
    stats.file_bytes = 0;
    out.push(format!("{stats:?}"));
    Ok(out)
}

type Answers = (Vec<String>, Vec<String>);

/// Runs a job, which may fail at its end.
async fn run(store: &Store, steps: Vec<Step>, fails: bool) -> Result<Answers, String> {
    let job = move |tables: &mut dyn Write| {
        let answers = steps.iter().map(|step| apply(tables, step)).collect::<Result<Vec<_>, _>>()?;
        let seen = look(tables)?;
        if fails { Err(StoreError::Full(format!("{answers:?} {seen:?}"))) } else { Ok((answers, seen)) }
    };
    store.write(job).await.map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn engines_agree(jobs in proptest::collection::vec((proptest::collection::vec(step(), 1..8), proptest::bool::weighted(0.2)), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let options = Options { reserve_bytes: 0, ..Options::default() };
            let file = Store::open(&folder.path().join("node.db"), &options).unwrap();
            let memory = Store::memory();
            for (steps, fails) in jobs {
                let (a, b) = (run(&memory, steps.clone(), fails).await, run(&file, steps.clone(), fails).await);
                if let (Ok(a), Ok(b)) = (&a, &b) {
                    // The first that differs says more than all of it.
                    for (a, b) in a.0.iter().chain(&a.1).zip(b.0.iter().chain(&b.1)) {
                        prop_assert_eq!(a, b, "after {:?}", steps);
                    }
                }
                prop_assert_eq!(a, b, "after {:?}", steps);
                let (a, b) = (memory.read(look).await.unwrap(), file.read(look).await.unwrap());
                prop_assert_eq!(a, b, "read after {:?}", steps);
            }
            Ok(())
        })?;
    }
}
