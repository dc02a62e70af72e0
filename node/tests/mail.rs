//! Messages from one to another.

use std::time::Duration;

use futures::StreamExt;
use p2pnode::{
    Ask, HandlerError, InboxMail, Limits, MailLimits, Node, NodeEvent, OutboxMail, Paths, SendError,
    store::{InboxQuery, InboxState, OutboxQuery, OutboxState},
};

mod common;
use common::{Host, LIMIT, acquainted, until};

async fn inbox(node: &Node) -> Vec<InboxMail> {
    let query = InboxQuery { limit: 100, ..InboxQuery::default() };
    node.mail().expect("it keeps").inbox(query).await.expect("it reads")
}

async fn outbox(node: &Node) -> Vec<OutboxMail> {
    let query = OutboxQuery { limit: 100, ..OutboxQuery::default() };
    let mut mail = node.mail().expect("it keeps").outbox(query).await.expect("it reads");
    mail.retain(|mail| mail.mail.kind != "receipt");
    mail
}

#[tokio::test]
async fn a_message_arrives_is_read_and_answered() {
    let host = Host::new();
    let (fern, moss) =
        (host.builder("fern").start().await.expect("started"), host.builder("moss").start().await.expect("started"));
    acquainted(&[&fern, &moss]).await;
    let mut events = moss.events();
    let post = fern.mail().expect("it keeps");
    let urgent = post.send("moss", "run the tests").priority(5).await.expect("kept");
    post.send("moss", "and have a rest").await.expect("kept");
    until("both are there", async || inbox(&moss).await.len() == 2).await;
    let arrived = async {
        loop {
            if let Some(NodeEvent::MailArrived(mail)) = events.next().await {
                return mail;
            }
        }
    };
    let first = tokio::time::timeout(LIMIT, arrived).await.expect("told");
    assert_eq!((first.text().as_str(), first.from.name.as_str()), ("run the tests", "fern"));
    let all = inbox(&moss).await;
    assert_eq!((all[0].mail.id, all[0].state, all[0].stranger), (urgent, InboxState::Unread, false));
    until("it is known to be there", async || outbox(&fern).await.iter().all(|m| m.state == OutboxState::Stored)).await;
    let there = moss.mail().expect("it keeps");
    assert!(there.mark(fern.peer_id(), urgent, InboxState::Read).await.expect("marked"));
    until("it is known to be read", async || {
        outbox(&fern).await.iter().any(|m| m.mail.id == urgent && m.state == OutboxState::Read)
    })
    .await;
    there.reply(urgent, "they pass").await.expect("it is there").await.expect("kept");
    until("the answer is there", async || inbox(&fern).await.len() == 1).await;
    let answer = inbox(&fern).await.remove(0);
    assert_eq!((answer.text().as_str(), answer.mail.in_reply_to), ("they pass", Some(urgent)));
    assert_eq!(answer.mail.conversation, all[0].mail.conversation);
}

#[tokio::test]
async fn a_question_is_answered_into_the_inbox() {
    let host = Host::new();
    let fern = host.builder("fern").start().await.expect("started");
    let moss = host.builder("moss").ask(|cx: Ask, task: String| async move {
        cx.progress("reading").await?;
        if task == "fail" { Err(HandlerError::new("it does not compile")) } else { Ok(format!("read {task}")) }
    });
    let moss = moss.start().await.expect("started");
    acquainted(&[&fern, &moss]).await;
    let post = fern.mail().expect("it keeps");
    let question = post.send("moss", "the diff").question().await.expect("kept");
    let failing = post.send("moss", "fail").question().await.expect("kept");
    until("both are answered", async || inbox(&fern).await.len() == 2).await;
    let answers = inbox(&fern).await;
    let of = |id| answers.iter().find(|mail| mail.mail.in_reply_to == Some(id)).expect("an answer");
    assert_eq!((of(question).text().as_str(), of(question).mail.kind.as_str()), ("read the diff", "reply"));
    assert_eq!(of(failing).mail.kind, "error");
    assert!(of(failing).text().contains("it does not compile"), "{}", of(failing).text());
    assert!(outbox(&fern).await.iter().all(|mail| mail.state == OutboxState::Read));
    // Nobody answers questions at fern's.
    moss.mail().expect("it keeps").send("fern", "and you?").question().await.expect("kept");
    until("it is refused", async || outbox(&moss).await.iter().any(|m| m.state == OutboxState::Refused)).await;
}

#[tokio::test]
async fn a_full_inbox_loses_nothing() {
    let host = Host::new();
    let limits = Limits { mail: MailLimits { member_messages: 2, ..MailLimits::default() }, ..Limits::default() };
    let fern = host.builder("fern").start().await.expect("started");
    let moss = host.builder("moss").limits(limits).start().await.expect("started");
    acquainted(&[&fern, &moss]).await;
    let post = fern.mail().expect("it keeps");
    for number in 0..3 {
        post.send("moss", format!("number {number}")).await.expect("kept");
    }
    until("the third waits", async || outbox(&fern).await.iter().any(|mail| mail.error.contains("full"))).await;
    assert_eq!(inbox(&moss).await.len(), 2);
    assert_eq!(outbox(&fern).await.iter().filter(|mail| mail.state == OutboxState::Sent).count(), 1);
}

#[tokio::test]
async fn what_is_not_taken_in_time_is_reported() {
    let host = Host::new();
    let fern = host.builder("fern").start().await.expect("started");
    let nobody = p2pnode::Identity::generate().peer_id();
    let mut events = fern.events();
    let post = fern.mail().expect("it keeps");
    post.send(nobody, "are you there?").expires(Duration::from_secs(2)).await.expect("kept");
    let expired = async {
        loop {
            if let Some(NodeEvent::MailChanged(mail)) = events.next().await {
                return mail;
            }
        }
    };
    let mail = tokio::time::timeout(LIMIT, expired).await.expect("told");
    assert_eq!(mail.state, OutboxState::Expired);
    assert!(mail.attempts > 0 && !mail.error.is_empty(), "{mail:?}");
    assert!(matches!(post.send(nobody, "x").priority(6).await, Err(SendError::Priority(6))));
    assert!(matches!(post.send(fern.peer_id(), "x").await, Err(SendError::Own)));
    assert!(matches!(post.send("nobody-of-that-name", "x").await, Err(SendError::Target(_))));
}

/// A node with a disk, which can be stopped and started again.
struct Board {
    folder: tempfile::TempDir,
    name: &'static str,
}

impl Board {
    fn new(name: &'static str) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), name }
    }

    /// Boards find each other in the registry of `host`.
    fn builder(&self, host: &Host) -> p2pnode::Builder {
        let paths = Paths::in_folder(self.folder.path()).expect("paths");
        let profile = p2pnode::Profile::open(&paths, "default").expect("a profile");
        host.builder(self.name).profile(profile)
    }
}

#[tokio::test]
async fn they_need_not_be_there_at_the_same_time() {
    let host = Host::new();
    let (a, b) = (Board::new("asker"), Board::new("busy"));
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let start_b = async || {
        let asked = asked.clone();
        let answer = move |_: Ask, task: String| {
            asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async move { Ok(format!("read {task}")) }
        };
        b.builder(&host).ask(answer).start().await.expect("started")
    };
    let start_a = async || a.builder(&host).start().await.expect("started");
    let (node_a, node_b) = (start_a().await, start_b().await);
    acquainted(&[&node_a, &node_b]).await;
    let id_b = node_b.peer_id();
    node_b.shutdown().await;
    let question = node_a.mail().expect("it keeps").send(id_b, "the diff").question().await.expect("kept");
    until("it was tried", async || outbox(&node_a).await.iter().any(|mail| mail.attempts > 0)).await;
    node_a.shutdown().await;
    let node_b = start_b().await;
    let node_a = start_a().await;
    until("the answer is there", async || inbox(&node_a).await.len() == 1).await;
    let answer = inbox(&node_a).await.remove(0);
    assert_eq!((answer.text().as_str(), answer.mail.in_reply_to), ("read the diff", Some(question)));
    node_b.shutdown().await;
    let node_b = start_b().await;
    acquainted(&[&node_a, &node_b]).await;
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1, "asked once");
    assert_eq!(inbox(&node_a).await.len(), 1, "answered once");
}

#[tokio::test]
async fn who_is_restarted_in_the_middle_says_so() {
    let host = Host::new();
    let (a, b) = (Board::new("asker"), Board::new("busy"));
    let (begun, mut begins) = tokio::sync::mpsc::channel(1);
    let node_a = a.builder(&host).start().await.expect("started");
    let endless = move |_: Ask, _: String| {
        let begun = begun.clone();
        async move {
            let _ = begun.send(()).await;
            std::future::pending::<Result<String, HandlerError>>().await
        }
    };
    let node_b = b.builder(&host).ask(endless).start().await.expect("started");
    acquainted(&[&node_a, &node_b]).await;
    node_a.mail().expect("it keeps").send("busy", "the diff").question().await.expect("kept");
    tokio::time::timeout(LIMIT, begins.recv()).await.expect("it begins");
    node_b.shutdown().await;
    drop(node_b);
    let node_b = b.builder(&host).ask(|_: Ask, _: String| async { Ok("never") }).start().await.expect("started");
    until("the asker hears", async || inbox(&node_a).await.len() == 1).await;
    let word = inbox(&node_a).await.remove(0);
    assert_eq!(word.mail.kind, "error");
    assert!(word.text().contains("restarted"), "{}", word.text());
    drop(node_b);
}

#[tokio::test]
async fn two_programs_that_answer_each_other_are_stopped() {
    let host = Host::new();
    let mail = MailLimits { conversation_messages: 20, ..MailLimits::default() };
    let limits = Limits { mail, ..Limits::default() };
    let start = async |name| host.builder(name).limits(limits.clone()).start().await.expect("started");
    let (fern, moss) = (start("fern").await, start("moss").await);
    acquainted(&[&fern, &moss]).await;
    let answering = |node: &Node| {
        let (mut events, node) = (node.events(), node.clone());
        async move {
            loop {
                let Some(NodeEvent::MailArrived(mail)) = events.next().await else { continue };
                let post = node.mail().expect("it keeps");
                let answer = post.reply(mail.mail.id, "and what do you think?").await.expect("it is there");
                if let Err(error) = answer.await {
                    return error;
                }
            }
        }
    };
    let talk = fern.mail().expect("it keeps").send("moss", "what do you think?").await.expect("accepted");
    let first = tokio::select! {
        error = answering(&fern) => error,
        error = answering(&moss) => error,
        () = tokio::time::sleep(LIMIT) => panic!("they go on: {} and {}", inbox(&fern).await.len(), inbox(&moss).await.len()),
    };
    assert!(matches!(first, SendError::Budget { messages: 20, .. }), "{first}");
    let said = inbox(&fern).await.len() + inbox(&moss).await.len();
    assert_eq!(said, 20, "all that was accepted has arrived");
    // The other one may not go on either; another conversation may.
    let conversation = outbox(&fern).await.iter().find(|mail| mail.mail.id == talk).expect("it").mail.conversation;
    for (node, to) in [(&fern, "moss"), (&moss, "fern")] {
        let post = node.mail().expect("it keeps");
        let more = post.send(to, "more").conversation(conversation).await.expect_err("enough");
        assert!(matches!(more, SendError::Budget { .. }), "{more}");
        post.send(to, "something else").await.expect("accepted");
    }
}
