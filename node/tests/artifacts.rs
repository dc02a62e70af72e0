//! Artifacts of a peer.

use std::time::Duration;

use p2pnode::{
    Node, Paths,
    artifacts::{AGENT_CARD, AGENT_CARD_MIME, ARTIFACT_MAX, ArtifactError, NewArtifact},
    presets,
};

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

async fn node(folder: &tempfile::TempDir, name: &str) -> Node {
    let paths = Paths::in_folder(folder.path()).expect("paths");
    Node::builder(presets::Loopback).paths(paths).swarm("garden").name(name).start().await.expect("started")
}

#[tokio::test]
async fn an_artifact_is_fetched_part_by_part_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let (fern, moss) = (node(&folder, "fern").await, node(&folder, "moss").await);
    assert!(moss.wait_until(LIMIT, |peers| !peers.is_empty()).await);
    assert!(fern.wait_until(LIMIT, |peers| !peers.is_empty()).await);
    let theirs = fern.artifacts().expect("it keeps");
    assert_eq!(moss.artifacts_of("fern").await.expect("listed"), []);

    let data: Vec<u8> = (0..600_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let mime = "application/octet-stream".to_owned();
    let put = theirs.put(NewArtifact { mime, ..NewArtifact::new("../noise", data.clone()) }).await.expect("kept");
    let card = NewArtifact { mime: AGENT_CARD_MIME.into(), ..NewArtifact::new(AGENT_CARD, "{}") };
    theirs.put(card).await.expect("kept");
    theirs.put(NewArtifact::new("empty", "")).await.expect("kept");

    let listed = moss.artifacts_of("fern").await.expect("listed");
    assert_eq!(listed.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["../noise", AGENT_CARD, "empty"]);
    let fetched = moss.artifact("fern", "../noise").await.expect("fetched");
    assert_eq!((fetched.artifact.sha256, fetched.data.len()), (put.sha256, data.len()));
    assert!(fetched.data == data && fetched.from == fern.peer_id());
    assert_eq!(moss.artifact("fern", "empty").await.expect("fetched").data.len(), 0);
    assert!(matches!(moss.artifact("fern", "other").await, Err(ArtifactError::Call(_))));

    let ours = moss.artifacts().expect("it keeps");
    let kept = ours.keep(&fetched, Some("noise")).await.expect("kept");
    assert_eq!(kept.origin, Some(fern.peer_id()));
    assert_eq!(ours.get("noise").await.expect("read").map(|(_, data)| data.len()), Some(data.len()));
    assert!(ours.remove("noise").await.expect("removed") && !ours.remove("noise").await.expect("none"));
    assert_eq!(ours.list().await.expect("listed"), []);
}

#[tokio::test]
async fn what_is_too_large_or_has_no_name_is_not_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let artifacts = node(&folder, "fern").await.artifacts().expect("it keeps");
    let large = vec![0; usize::try_from(ARTIFACT_MAX).expect("fits") + 1];
    assert!(matches!(artifacts.put(NewArtifact::new("x", large)).await, Err(ArtifactError::TooLarge { .. })));
    let long = NewArtifact { description: "x".repeat(20_000), ..NewArtifact::new("x", "x") };
    assert!(matches!(artifacts.put(long).await, Err(ArtifactError::TooLarge { .. })));
    for name in ["", " ", "a\u{1b}b", &"x".repeat(256)] {
        assert!(matches!(artifacts.put(NewArtifact::new(name, "x")).await, Err(ArtifactError::Name)), "{name:?}");
    }
    assert_eq!(artifacts.list().await.expect("listed"), []);
}
