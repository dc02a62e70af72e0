//! How a program tests its own nodes: each test in a process of its own.
#![cfg(feature = "virtual-time")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use p2pnode::{Clock, Context, Endpoint, schedule};
use p2pnode_simulator::{Sim, SimError, SimNode};

/// Two halves that were apart for a minute hear each other again.
#[test]
fn a_partition_heals() {
    let outcome = Sim::builder().seed(11).run(|sim| async move {
        let nodes = sim
            .nodes(12, |_, builder| {
                builder.endpoint(Endpoint::new("note"), |_: Context, (_,): (u32,)| async { Ok(()) })
            })
            .await?;
        let knows_all = |node: &SimNode| node.node().is_ok_and(|node| node.peers().len() == 11);
        sim.eventually(Duration::from_secs(30), "all know each other", || nodes.iter().all(knows_all)).await?;
        let fault = sim.partition(&[&nodes[..6], &nodes[6..]]);
        // Virtual time, in which they are apart: the test does not wait for it.
        tokio::time::sleep(Duration::from_secs(60)).await;
        fault.heal();
        let (speaker, listener) = (nodes[1].node()?, nodes[10].node()?);
        let mut heard = listener.subscribe("it.is.over").expect("a subject");
        let began = sim.elapsed();
        let came = async {
            loop {
                speaker.emit("it.is.over", &1).await.expect("sent");
                let next = futures::StreamExt::next(&mut heard);
                if tokio::time::timeout(Duration::from_secs(1), next).await.is_ok() {
                    return sim.elapsed() - began;
                }
            }
        };
        let took = tokio::time::timeout(Duration::from_secs(30), came).await;
        Ok::<_, SimError>((took.is_ok(), sim.report()))
    });
    let (heard, report) = outcome.expect("a thread").expect("a simulation");
    assert!(heard, "within 30 s");
    let connections = report.samples("node.connections");
    assert!(connections.len() == 12 && connections.iter().all(|count| *count >= 1.0), "{connections:?}");
    assert!(report.get("gossip.messages").is_some_and(|messages| messages >= 1.0), "what was said went round");
}

/// Boards that wait for the time, and those whose battery is empty, are members like others.
#[test]
fn clocks_that_are_a_day_wrong_keep_nobody_out() {
    const DAY: Duration = Duration::from_secs(86_400);
    let outcome = Sim::builder().seed(12).run(|sim| async move {
        let nodes = sim
            .nodes(12, |index, builder| {
                builder.clock(match index % 3 {
                    0 => Clock::default(),
                    1 => Clock::ahead(DAY),
                    _ => Clock::behind(DAY),
                })
            })
            .await?;
        let knows_all = |node: &SimNode| node.node().is_ok_and(|node| node.peers().len() == 11);
        let took =
            sim.eventually(Duration::from_secs(120), "all know each other", || nodes.iter().all(knows_all)).await?;
        for speaker in &nodes[..3] {
            let mut heard = Vec::new();
            for listener in nodes.iter().filter(|node| node.host() != speaker.host()) {
                heard.push(listener.node()?.subscribe("it.is.noon").expect("a subject"));
            }
            speaker.node()?.emit("it.is.noon", &1).await.expect("sent");
            for subscription in &mut heard {
                let next = futures::StreamExt::next(subscription);
                tokio::time::timeout(Duration::from_secs(10), next).await.expect("heard in time").expect("an event");
            }
        }
        Ok::<_, SimError>(took)
    });
    let took = outcome.expect("a thread").expect("a simulation");
    println!("all knew each other after {took:?}");
}

/// Each by its own clock, a virtual morning long: the simulation begins at midnight, UTC.
#[test]
fn work_is_done_when_it_is_due() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let outcome = Sim::builder().seed(13).run(|sim| async move {
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut nodes = Vec::new();
        for (name, clock) in [("right", Clock::default()), ("ahead", Clock::ahead(HOUR / 2))] {
            let (done, sim_too) = (done.clone(), sim.clone());
            let node = sim.node(name, move |builder| {
                let log = |what: &'static str| {
                    let (done, sim) = (done.clone(), sim_too.clone());
                    move |node: p2pnode::Node| {
                        let entry = (node.name().to_owned(), what, sim.elapsed().as_secs());
                        done.lock().expect("not poisoned").push(entry);
                        async { Ok(()) }
                    }
                };
                builder
                    .clock(clock)
                    .periodic(HOUR, log("hourly"))
                    .periodic("cron 15 1,2 * * *", log("cron"))
                    .periodic(schedule::solar(schedule::Event::Sunrise, 19.8, 155.0).tz("UTC"), log("sunrise"))
            });
            nodes.push(node.await?);
        }
        tokio::time::sleep(3 * HOUR - Duration::from_secs(10)).await;
        let mut done = done.lock().expect("not poisoned").clone();
        done.sort();
        Ok::<_, SimError>(done)
    });
    let done = outcome.expect("a thread").expect("a simulation");
    let of = |name: &str, what: &str| -> Vec<u64> {
        done.iter().filter(|(node, job, _)| node == name && *job == what).map(|(.., second)| *second).collect()
    };
    for name in ["right", "ahead"] {
        assert_eq!(of(name, "hourly"), [0, 3_600, 7_200], "{name}: at once, then every hour");
    }
    assert_eq!(of("right", "cron"), [4_500, 8_100]);
    assert_eq!(of("ahead", "cron"), [2_700, 6_300], "half an hour too early, as its clock is");
    assert!(of("right", "sunrise").is_empty(), "it was before midnight there");
}

/// Two halves talk while they are apart; a minute after they are together all keep the same, and whoever joins then too.
#[test]
fn what_was_said_apart_is_kept_by_all() {
    talk_apart(40, 14);
}

#[test]
#[ignore = "two hundred nodes; run by .ci/long"]
fn what_two_hundred_said_apart_is_kept_by_all() {
    talk_apart(200, 15);
}

fn talk_apart(count: usize, seed: u64) {
    let outcome = Sim::builder().seed(seed).run(move |sim| async move {
        let nodes = sim.nodes(count, |_, builder| builder).await?;
        let knows_many = |node: &SimNode| node.node().is_ok_and(|node| node.peers().len() >= 8);
        sim.eventually(Duration::from_secs(60), "all know others", || nodes.iter().all(knows_many)).await?;
        let fault = sim.partition(&[&nodes[..count / 2], &nodes[count / 2..]]);
        for round in 0..10_u32 {
            for speaker in nodes.iter().step_by(count / 10) {
                speaker.node()?.emit("round.ended", &round).await.expect("said");
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        fault.heal();
        let began = sim.elapsed();
        let seed = nodes[0].address().map(|addr| addr.to_string());
        let late = move |builder: p2pnode::Builder| {
            builder.bootstrap(seed.iter().filter_map(|addr| addr.parse().ok()).collect::<Vec<_>>())
        };
        let mut all = vec![sim.node("late", late).await?];
        all.extend(nodes);
        let mut lacking = Vec::new();
        while sim.elapsed() - began < Duration::from_secs(60) {
            lacking.clear();
            for node in &all {
                lacking.push(100 - kept(&node.node()?).await.len().min(100));
            }
            if lacking.iter().all(|lacking| *lacking == 0) {
                println!("measured: {count} nodes keep the same {:?} after the healing", sim.elapsed() - began);
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok::<_, SimError>(Some(lacking))
    });
    let lacking = outcome.expect("a thread").expect("a simulation");
    assert_eq!(lacking, None, "what each lacks after a minute");
}

/// A search goes on for as long as somebody whom it asks is silent; whoever comes meanwhile need not wait for its end.
#[test]
fn a_member_that_comes_while_it_is_looked_for_is_called_at_once() {
    let outcome = Sim::builder().seed(21).run(|sim| async move {
        let pair = sim.nodes(2, |_, builder| builder).await?;
        let asker = pair[0].node()?;
        let met = || !asker.peers().is_empty();
        sim.eventually(Duration::from_secs(30), "they know each other", met).await?;
        let _silent = sim.partition(&[&pair[..1], &pair[1..]]);
        let began = sim.elapsed();
        let call = async {
            let called: Result<u32, _> = asker.call("late", "note", (1_u32,)).await;
            (called, sim.elapsed() - began)
        };
        let seed = pair[0].address().map(|addr| addr.to_string());
        let late = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let at_seed = move |builder: p2pnode::Builder| {
                let seeds = seed.iter().filter_map(|addr| addr.parse().ok()).collect::<Vec<_>>();
                let note = |_: Context, (n,): (u32,)| async move { Ok(n) };
                builder.bootstrap(seeds).endpoint(Endpoint::new("note"), note)
            };
            sim.node("late", at_seed).await
        };
        let (called, late) = futures::future::join(call, late).await;
        late?;
        Ok::<_, SimError>(called)
    });
    let (called, took) = outcome.expect("a thread").expect("a simulation");
    assert_eq!(called.expect("it is called"), 1);
    assert!(took < Duration::from_secs(3), "one second before it came, and {took:?} in all");
}

/// What a node keeps.
async fn kept(node: &p2pnode::Node) -> std::collections::BTreeSet<p2pnode::EventId> {
    let query = p2pnode::store::EventQuery { limit: 10_000, ..Default::default() };
    let events = node.history().expect("it keeps").events(query).await.expect("it reads");
    events.into_iter().map(|kept| kept.event.id).collect()
}
