//! A peer that calls and never reads what it is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p_swarm::{StreamProtocol, Swarm};
use libp2p_swarm_test::SwarmExt;
use p2pnode_behaviours::rpc::{self, Config, Incoming};
use p2pnode_wire::{
    frame, protocol,
    rpc::{Message, Req},
};

/// Bytes of one answer: a large frame.
const ANSWER: usize = 60 * 1024;

/// Calls; 240 MB of answers, were they all kept.
const CALLS: u64 = 4_000;

/// What buffers on the way may hold besides: yamux's window, its queue, and what is being written.
const ON_THE_WAY: usize = 4 * 1024 * 1024;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// After so long without a byte taken, the writer is held up.
const HELD_UP: Duration = Duration::from_millis(500);

#[tokio::test]
async fn answers_that_nobody_reads_do_not_pile_up() {
    let served = Arc::<AtomicUsize>::default();
    let service = {
        let (served, answer) = (served.clone(), Bytes::from(vec![0; ANSWER]));
        Arc::new(move |call: Incoming| {
            served.fetch_add(1, Ordering::SeqCst);
            call.reply.ok(answer.clone());
        })
    };
    let config = Config::default();
    let bound = config.unread_per_peer + ON_THE_WAY;
    let mut callee = Swarm::new_ephemeral_tokio(|_| rpc::Behaviour::new(config, service).0);
    let mut caller = Swarm::new_ephemeral_tokio(|_| libp2p_stream::Behaviour::new());
    let (id, mut control) = (*callee.local_peer_id(), caller.behaviour().new_control());
    callee.listen().with_memory_addr_external().await;
    caller.connect(&mut callee).await;
    tokio::spawn(async move { while callee.next().await.is_some() {} });
    tokio::spawn(async move { while caller.next().await.is_some() {} });
    let stream = control.open_stream(id, StreamProtocol::new(protocol::RPC_MUX)).await.expect("the fast road");
    let (mut reader, mut writer) = stream.split();

    let mut requests = BytesMut::new();
    for id in 0..CALLS {
        let args = Bytes::from(vec![0; 1_000]);
        let req = Req { id, endpoint: "large".into(), args, left_ms: 60_000, ..Req::default() };
        Message::Req(req).encode_into(&mut requests);
    }
    let mut written = 0;
    while let Ok(count) = tokio::time::timeout(HELD_UP, writer.write(&requests[written..])).await {
        written += count.expect("the substream lives");
        assert!(
            written < requests.len(),
            "{} calls were read, and none of their answers",
            served.load(Ordering::SeqCst)
        );
    }
    let kept = served.load(Ordering::SeqCst) * ANSWER;
    assert!(kept <= bound, "{kept} bytes are kept for a peer that reads none");

    // Read at last, all are answered.
    tokio::spawn(async move { writer.write_all(&requests[written..]).await });
    let answers = async {
        let (decoder, mut buffer, mut chunk) = (frame::Decoder::new(frame::MAX), BytesMut::new(), vec![0; 64 * 1024]);
        let mut answered = 0;
        while answered < CALLS {
            let count = reader.read(&mut chunk).await.expect("the substream lives");
            buffer.extend_from_slice(&chunk[..count]);
            while let Some(frame) = decoder.next(&mut buffer).expect("frames") {
                let message = Message::decode(&frame).expect("a message");
                assert!(matches!(message, Message::Res { ref result, .. } if result.len() == ANSWER), "{message:?}");
                answered += 1;
            }
        }
    };
    tokio::time::timeout(PATIENCE, answers).await.expect("all answers");
}
