use std::collections::{BTreeMap, HashMap};

use libp2p_gossipsub::TopicSubscriptionFilter;
use libp2p_swarm::{Swarm, SwarmEvent};

use super::{
    super::testing::{GARDEN, ORCHARD, author, event, sealed},
    *,
};
use crate::upkeep::testing;

const LIMIT: Duration = Duration::from_secs(30);

/// A line of nodes in one swarm: an event must be passed on to arrive.
async fn line(count: usize) -> Vec<Swarm<Behaviour>> {
    let mut swarms = testing::listening(count, |_| Behaviour::new(Config::default())).await;
    for swarm in &mut swarms {
        assert!(swarm.behaviour_mut().join(GARDEN));
    }
    for index in 1..count {
        let addr = testing::memory(&swarms[index - 1]);
        swarms[index].dial(addr).expect("a dial");
    }
    let meshed = testing::until(&mut swarms, LIMIT, |swarms, _| {
        let last = swarms.len() - 1;
        let full = |(index, swarm): (usize, &Swarm<Behaviour>)| {
            let expected = if index == 0 || index == last { 1 } else { 2 };
            swarm.behaviour().neighbours(&GARDEN).len() == expected
        };
        swarms.iter().enumerate().all(full).then_some(())
    });
    meshed.await.expect("neighbours are in the mesh");
    swarms
}

#[tokio::test]
async fn an_event_arrives_once_everywhere_and_forged_ones_nowhere() {
    let mut swarms = line(5).await;
    let (key, last) = (author(1), 4);
    let mut forged = sealed(&key, GARDEN, 1).to_vec();
    *forged.last_mut().expect("bytes") ^= 1;
    // Past our own checks, as a bad neighbour would.
    for bad in [forged, sealed(&key, ORCHARD, 2).to_vec(), b"garbage".to_vec()] {
        let topic = protocol::topic_of(&GARDEN);
        swarms[0].behaviour_mut().inner.publish(topic, bad).expect("sent");
    }
    let good = sealed(&key, GARDEN, 1);
    let id = swarms[0].behaviour_mut().publish(&GARDEN, good.clone()).expect("sent");
    assert_eq!(swarms[last].behaviour_mut().publish(&ORCHARD, good.clone()), Err(PublishError::Swarm));

    let (mut delivered, mut refused) = (BTreeMap::new(), HashMap::new());
    let all = testing::until(&mut swarms, LIMIT, |_, event| {
        match event {
            Some((at, SwarmEvent::Behaviour(Event::Event { id, raw, swarm, .. }))) => {
                assert_eq!((swarm, &raw), (GARDEN, &good));
                delivered.entry(at).or_insert_with(Vec::new).push(id);
            }
            Some((at, SwarmEvent::Behaviour(Event::Refused { why, .. }))) => {
                assert_eq!(at, 1, "the first node does not pass them on");
                *refused.entry(why).or_insert(0) += 1;
            }
            _ => {}
        }
        (delivered.len() == 4 && refused.len() == 3).then_some(())
    });
    all.await.expect("delivered");
    assert_eq!(refused, HashMap::from([(Refused::Signature, 1), (Refused::Swarm, 1), (Refused::Layout, 1)]));

    // A second event runs after everything that might still be under way.
    let second = sealed(&key, GARDEN, 7);
    let second_id = swarms[last].behaviour_mut().publish(&GARDEN, second).expect("sent");
    let all = testing::until(&mut swarms, LIMIT, |_, event| {
        if let Some((at, SwarmEvent::Behaviour(Event::Event { id, .. }))) = event {
            delivered.entry(at).or_insert_with(Vec::new).push(id);
        }
        (delivered.get(&0) == Some(&vec![second_id])).then_some(())
    });
    all.await.expect("delivered");
    for (at, ids) in &delivered {
        let expected = match at {
            0 => vec![second_id],
            4 => vec![id],
            _ => vec![id, second_id],
        };
        assert_eq!(ids, &expected, "node {at}");
    }
}

#[tokio::test]
async fn swarms_are_kept_apart() {
    let mut swarms = line(2).await;
    assert!(swarms[0].behaviour_mut().join(ORCHARD));
    let raw = sealed(&author(1), ORCHARD, 1);
    assert_eq!(swarms[0].behaviour_mut().publish(&ORCHARD, raw.clone()), Err(PublishError::NobodyThere));
    assert_eq!(swarms[1].behaviour_mut().publish(&ORCHARD, raw.clone()), Err(PublishError::NotJoined));
    swarms[1].behaviour_mut().join(ORCHARD);
    let seen = testing::until(&mut swarms, LIMIT, |_, event| match event {
        Some((0, SwarmEvent::Behaviour(Event::Subscribed { swarm, .. }))) if swarm == ORCHARD => Some(()),
        _ => None,
    });
    seen.await.expect("subscribed");
    assert!(swarms[0].behaviour_mut().publish(&ORCHARD, raw.clone()).is_ok(), "what could not be sent may be sent now");
    assert_eq!(swarms[0].behaviour_mut().publish(&ORCHARD, raw), Err(PublishError::Known));
    let arrived = testing::until(&mut swarms, LIMIT, |_, event| match event {
        Some((1, SwarmEvent::Behaviour(Event::Event { swarm, .. }))) => Some(swarm),
        _ => None,
    });
    assert_eq!(arrived.await, Some(ORCHARD));
}

#[tokio::test]
async fn a_burst_is_paced_and_complete() {
    let mut swarms = line(3).await;
    let key = author(1);
    const COUNT: u64 = 130;
    for seq in 0..COUNT {
        let raw = event(&key, GARDEN, seq, vec![0xc0; 1]).seal(&key).into_raw();
        swarms[0].behaviour_mut().publish(&GARDEN, raw).expect("sent, or waiting");
    }
    let mut arrived = 0;
    let all = testing::until(&mut swarms, LIMIT, |_, event| {
        match event {
            Some((2, SwarmEvent::Behaviour(Event::Event { .. }))) => arrived += 1,
            Some((_, SwarmEvent::Behaviour(Event::Refused { why, .. }))) => panic!("refused: {why}"),
            Some((_, SwarmEvent::Behaviour(Event::Unsent { error, .. }))) => panic!("unsent: {error}"),
            _ => {}
        }
        (arrived == COUNT).then_some(())
    });
    all.await.expect("nothing of a burst is lost");
}

#[test]
fn only_topics_of_swarms() {
    use libp2p_gossipsub::TopicHash;
    let mut filter = OnlySwarms;
    assert!(filter.can_subscribe(&protocol::topic_of(&GARDEN).hash()));
    let upper = p2pnode_wire::topic(&SwarmId([0xab; 32])).to_uppercase().replace("P2PNODE", "p2pnode");
    for bad in ["", "p2pnode/1/", "p2pnode/1/zz", "p2pnode/2/00", "other", &upper] {
        assert!(!filter.can_subscribe(&TopicHash::from_raw(bad)), "{bad}");
    }
}
