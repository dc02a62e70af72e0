//! Both machines against each other.

use proptest::prelude::*;

use super::{
    super::{Reader, Taken},
    *,
};
use p2pnode_wire::frame;

fn budget() -> Budget {
    Budget::new(64 * 1024 * 1024)
}

fn pair(config: &Config) -> (Caller<u32>, Callee) {
    (Caller::new(config, budget()), Callee::new(config, budget()))
}

fn messages(out: &mut BytesMut) -> Vec<Message> {
    let decoder = frame::Decoder::new(frame::MAX);
    let mut all = Vec::new();
    while let Some(frame) = decoder.next(out).expect("our own frames are within the limit") {
        all.push(Message::decode(&frame).expect("our own frames decode"));
    }
    all
}

fn request(args: usize) -> Request {
    Request { args: Bytes::from(vec![7; args]), ..Request::new("echo") }
}

/// Runs both machines against each other until nothing moves; `answer` makes the result of each request.
fn run(
    caller: &mut Caller<u32>,
    callee: &mut Callee,
    out: &mut BytesMut,
    answer: impl Fn(&Request) -> Result<Bytes, RpcError>,
) -> Vec<Ended<u32>> {
    let mut ended = Vec::new();
    let mut back = BytesMut::new();
    loop {
        caller.pump(out, 128 * 1024);
        let forward = messages(out);
        let mut arrived = Vec::new();
        for message in forward.clone() {
            arrived.extend(callee.receive(message, &mut back).expect("no violation"));
        }
        for call in arrived {
            let outcome = answer(&call.request);
            callee.finish(call.id, outcome, &mut back);
        }
        callee.pump(&mut back, 128 * 1024);
        let backward = messages(&mut back);
        if forward.is_empty() && backward.is_empty() {
            return ended;
        }
        for message in backward {
            ended.extend(caller.receive(message, out).expect("no violation"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bodies_of_any_size_come_back_whole(sizes in prop::collection::vec(0usize..700_000, 1..6)) {
        let (mut caller, mut callee) = pair(&Config::default());
        let (now, mut out) = (Instant::now(), BytesMut::new());
        for (token, size) in sizes.iter().enumerate() {
            let token = u32::try_from(token).expect("few");
            caller.start((token, None), request(*size), Span { now, deadline: now + Duration::from_secs(1) }, &mut out).map_err(|(_, e)| e).expect("room");
        }
        let ended = run(&mut caller, &mut callee, &mut out, |r| Ok(r.args.clone()));
        prop_assert_eq!(ended.len(), sizes.len());
        for (token, outcome) in ended {
            let size = sizes[usize::try_from(token).expect("few")];
            prop_assert_eq!(outcome.expect("an answer"), Bytes::from(vec![7; size]));
        }
        prop_assert_eq!((caller.len(), callee.len()), (0, 0));
    }

    #[test]
    fn any_frames_leave_both_sides_sane(ids in prop::collection::vec((0u64..4, 0u8..7, 0u32..3), 0..60)) {
        let (mut caller, mut callee) = pair(&Config::default());
        let (now, mut out) = (Instant::now(), BytesMut::new());
        for token in 0..3 {
            let _ = caller.start((token, None), request(100_000), Span { now, deadline: now }, &mut out);
        }
        for (id, kind, n) in ids {
            let message = match kind {
                0 => Message::Res { id, result: Bytes::new(), more: n == 1, stream: n == 2 },
                1 => Message::Err { id, error: overloaded("x") },
                2 => Message::Item { id, n, body: Bytes::from_static(b"x"), more: n == 1 },
                3 => Message::End { id },
                4 => Message::Credit { id, n },
                5 => Message::Cancel { id },
                _ => Message::Req(request(0).into_req(id, Duration::ZERO)),
            };
            let _ = caller.receive(message.clone(), &mut out);
            let _ = callee.receive(message, &mut out);
            out.clear();
        }
        prop_assert!(caller.len() <= 3 && callee.len() <= 4);
    }
}

#[test]
fn a_small_call_overtakes_a_large_body() {
    let (mut caller, mut callee) = pair(&Config::default());
    let (now, mut out) = (Instant::now(), BytesMut::new());
    let later = now + Duration::from_secs(1);
    assert!(caller.start((1, None), request(4_000_000), Span { now, deadline: later }, &mut out).is_ok());
    caller.pump(&mut out, 128 * 1024);
    assert!(caller.start((2, None), request(10), Span { now, deadline: later }, &mut out).is_ok());
    let before: usize = out.len();
    assert!(before < 300_000, "the small call waits behind {before} bytes");
    let ended = run(&mut caller, &mut callee, &mut out, |r| Ok(r.args.clone()));
    assert_eq!(ended.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn too_many_calls_are_refused_on_both_sides() {
    let config = Config { in_flight_per_peer: 2, ..Config::default() };
    let (mut caller, mut callee) = pair(&config);
    let (now, mut out) = (Instant::now(), BytesMut::new());
    assert!(caller.start((1, None), request(0), Span { now, deadline: now }, &mut out).is_ok());
    assert!(caller.start((2, None), request(0), Span { now, deadline: now }, &mut out).is_ok());
    assert_eq!(
        caller.start((3, None), request(0), Span { now, deadline: now }, &mut out),
        Err((3, CallError::Busy { limit: 2 }))
    );
    for id in 1..=3 {
        let req = Message::Req(request(0).into_req(id, Duration::from_secs(1)));
        let arrived = callee.receive(req, &mut out).expect("no violation");
        assert_eq!(arrived.is_some(), id < 3);
    }
    let refusals: Vec<_> = messages(&mut out).into_iter().filter(|m| matches!(m, Message::Err { .. })).collect();
    let [Message::Err { id: 3, error }] = refusals.as_slice() else { panic!("{refusals:?}") };
    assert_eq!(error.code, ErrorCode::Overloaded);
    assert!(error.retry_after.is_some());
}

#[test]
fn cancel_reaches_the_handler_and_its_late_answer_is_dropped() {
    let (mut caller, mut callee) = pair(&Config::default());
    let (now, mut out, mut back) = (Instant::now(), BytesMut::new(), BytesMut::new());
    let id =
        caller.start((1, None), request(0), Span { now, deadline: now }, &mut out).map_err(|(_, e)| e).expect("room");
    let req = messages(&mut out).remove(0);
    let arrived = callee.receive(req, &mut back).expect("no violation").expect("a whole request");
    assert_eq!(caller.cancel(id, &mut out), Some(1));
    for message in messages(&mut out) {
        assert!(callee.receive(message, &mut back).expect("no violation").is_none());
    }
    assert!(arrived.cancelled.is_cancelled());
    callee.finish(arrived.id, Ok(Bytes::new()), &mut back);
    assert!(back.is_empty());
}

#[test]
fn late_calls_expire_and_the_next_deadline_is_known() {
    let (mut caller, _) = pair(&Config::default());
    let (t, mut out) = (Instant::now(), BytesMut::new());
    let ms = Duration::from_millis;
    for (token, after) in [(1, 10), (2, 30), (3, 20)] {
        assert!(caller.start((token, None), request(0), Span { now: t, deadline: t + ms(after) }, &mut out).is_ok());
    }
    assert_eq!(caller.earliest(), Some(t + ms(10)));
    let mut late = caller.expire(t + ms(20), &mut out);
    late.sort_unstable();
    assert_eq!(late, [1, 3]);
    assert_eq!(caller.earliest(), Some(t + ms(30)));
}

#[test]
fn a_body_over_the_limit_is_refused_whatever_it_claims() {
    let config = Config { max_body: 100_000, ..Config::default() };
    let (mut caller, _) = pair(&config);
    let (now, mut out) = (Instant::now(), BytesMut::new());
    let refused = caller.start((1, None), request(100_001), Span { now, deadline: now }, &mut out);
    assert_eq!(refused, Err((1, CallError::TooLarge { size: 100_001, max: 100_000 })));
    // A caller that does not care about the limit.
    let (mut rude, _) = pair(&Config::default());
    let mut callee = Callee::new(&config, budget());
    assert!(rude.start((1, None), request(300_000), Span { now, deadline: now }, &mut out).is_ok());
    let ended = run(&mut rude, &mut callee, &mut out, |r| Ok(r.args.clone()));
    let [(1, Err(CallError::Remote(error)))] = ended.as_slice() else { panic!("{ended:?}") };
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert_eq!(callee.len(), 0);
}

#[test]
fn half_sent_bodies_share_one_budget() {
    let config = Config::default();
    let mut callee = Callee::new(&config, Budget::new(40_000));
    let mut out = BytesMut::new();
    for id in 1..=3 {
        let req = Req { more: true, ..request(0).into_req(id, Duration::from_secs(1)) };
        assert!(callee.receive(Message::Req(req), &mut out).expect("no violation").is_none());
        let item = Message::Item { id, n: 0, body: Bytes::from(vec![0; 16_000]), more: false };
        assert!(callee.receive(item, &mut out).expect("no violation").is_none());
    }
    assert_eq!(callee.len(), 2, "the third found the budget spent");
    callee.close();
}

#[test]
fn closing_ends_everything() {
    let (mut caller, mut callee) = pair(&Config::default());
    let (now, mut out) = (Instant::now(), BytesMut::new());
    assert!(caller.start((1, None), request(0), Span { now, deadline: now }, &mut out).is_ok());
    let req = messages(&mut out).remove(0);
    let arrived = callee.receive(req, &mut out).expect("no violation").expect("a whole request");
    assert_eq!(caller.close(), [1]);
    callee.close();
    assert!(arrived.cancelled.is_cancelled());
}

/// A callee that sends items as fast as it may, and a reader that takes `reads` of them after each batch.
fn stream(items: &[Bytes], window: u32, reads: usize) -> (Vec<Bytes>, usize) {
    let config = Config::default();
    let (mut caller, mut callee) = pair(&config);
    let (now, mut out, mut back) = (Instant::now(), BytesMut::new(), BytesMut::new());
    let inbox = Inbox::new(window, config.max_body, &budget());
    let asked = Request { window: Some(window), ..request(0) };
    let later = now + Duration::from_secs(1);
    let id = caller
        .start((1, Some(inbox.clone())), asked, Span { now, deadline: later }, &mut out)
        .map_err(|(_, e)| e)
        .expect("room");
    let mut arrived = None;
    for message in messages(&mut out) {
        arrived = callee.receive(message, &mut back).expect("no violation");
    }
    assert_eq!(arrived.expect("a request").request.window, Some(window));
    callee.begin_items(id, &mut back);
    let mut cx = Context::from_waker(Waker::noop());
    let mut reader = Reader::new(inbox);
    let (mut read, mut most, mut sent) = (Vec::new(), 0, 0);
    let mut left = None;
    let mut taken: usize = 0;
    loop {
        while left.is_some() || sent < items.len() {
            if left.is_none() {
                left = Some(items[sent].clone());
                sent += 1;
            }
            if callee.poll_item(id, &mut left, &mut back, 128 * 1024, &mut cx).is_pending() {
                break;
            }
        }
        if left.is_none() && sent == items.len() {
            callee.finish_items(id, Ok(()), &mut back);
        }
        callee.pump(&mut back, 128 * 1024);
        for message in messages(&mut back) {
            assert!(caller.receive(message, &mut out).expect("no violation").is_none());
        }
        let arrived: usize = items[..sent].iter().map(Bytes::len).sum();
        most = most.max(arrived - taken - left.as_ref().map_or(0, Bytes::len));
        for _ in 0..reads {
            let (next, credit) = reader.poll_next(&mut cx);
            if let Some(n) = credit {
                caller.give(id, n, &mut out);
            }
            match next {
                Poll::Ready(Taken::Item(item)) => {
                    taken += item.len();
                    read.push(item);
                }
                Poll::Ready(Taken::End(outcome)) => {
                    assert_eq!(outcome, Ok(()));
                    assert_eq!((caller.len(), callee.len()), (0, 0));
                    return (read, most);
                }
                Poll::Pending => break,
            }
        }
        for message in messages(&mut out) {
            assert!(callee.receive(message, &mut back).expect("no violation").is_none());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn items_of_any_size_come_in_order_and_no_more_than_the_window(
        sizes in prop::collection::vec(prop_oneof![0usize..200, 0usize..60_000], 0..120),
        window in prop_oneof![1u32..2_000, 10_000u32..300_000],
        reads in 1usize..9,
    ) {
        let items: Vec<Bytes> = sizes.iter().zip(0u8..).map(|(size, n)| Bytes::from(vec![n; *size])).collect();
        let (read, most) = stream(&items, window, reads);
        prop_assert_eq!(read, items);
        // One item may be larger than the window, and one frame may be sent on the last byte of credit.
        let largest = sizes.iter().copied().max().unwrap_or_default();
        let bound = usize::try_from(window).expect("small") + largest + limits::CHUNK;
        prop_assert!(most <= bound, "{} bytes wait, of {}", most, bound);
    }
}

#[test]
fn a_stream_that_was_not_asked_for_ends_the_call() {
    let (mut caller, _) = pair(&Config::default());
    let (now, mut out) = (Instant::now(), BytesMut::new());
    let id =
        caller.start((1, None), request(0), Span { now, deadline: now }, &mut out).map_err(|(_, e)| e).expect("room");
    out.clear();
    let begun = Message::Res { id, result: Bytes::new(), more: true, stream: true };
    let ended = caller.receive(begun, &mut out).expect("no violation");
    assert!(matches!(ended, Some((1, Err(CallError::Malformed(_))))));
    assert!(matches!(messages(&mut out).as_slice(), [Message::Cancel { .. }]));
}

#[test]
fn who_sends_more_than_there_is_credit_for_is_cut_off() {
    let config = Config::default();
    let (mut caller, _) = pair(&config);
    let (now, mut out) = (Instant::now(), BytesMut::new());
    let inbox = Inbox::new(300, config.max_body, &budget());
    let asked = Request { window: Some(300), ..request(0) };
    let id =
        caller.start((1, Some(inbox)), asked, Span { now, deadline: now }, &mut out).map_err(|(_, e)| e).expect("room");
    let mut hear = |message| caller.receive(message, &mut out).expect("no violation");
    assert!(hear(Message::Res { id, result: Bytes::new(), more: true, stream: true }).is_none());
    let item = |n| Message::Item { id, n, body: Bytes::from(vec![0; 100]), more: false };
    assert!(hear(item(0)).is_none() && hear(item(1)).is_none(), "328 of 300: the last may cost more");
    assert!(matches!(hear(item(2)), Some((1, Err(CallError::Malformed(_))))));
}

#[test]
fn cancel_stops_a_handler_that_waits_for_credit() {
    let (_, mut callee) = pair(&Config::default());
    let mut out = BytesMut::new();
    let asked = Request { window: Some(1), ..request(0) };
    let req = Message::Req(asked.into_req(7, Duration::from_secs(1)));
    let arrived = callee.receive(req, &mut out).expect("no violation").expect("a whole request");
    callee.begin_items(7, &mut out);
    let mut cx = Context::from_waker(Waker::noop());
    let mut item = Some(Bytes::from_static(b"\x01"));
    assert_eq!(callee.poll_item(7, &mut item, &mut out, 1_000, &mut cx), Poll::Ready(Ok(())));
    item = Some(Bytes::from_static(b"\x02"));
    assert!(callee.poll_item(7, &mut item, &mut out, 1_000, &mut cx).is_pending());
    assert!(callee.receive(Message::Cancel { id: 7 }, &mut out).expect("no violation").is_none());
    assert!(arrived.cancelled.is_cancelled());
    assert_eq!(callee.poll_item(7, &mut item, &mut out, 1_000, &mut cx), Poll::Ready(Err(Gone)));
    assert_eq!(callee.len(), 0);
}
