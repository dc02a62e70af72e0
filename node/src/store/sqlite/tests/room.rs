//! Full disks.

use super::*;

/// Writes until there is no room, then looks what is left.
async fn fill(store: &Store) -> u64 {
    for seq in 0..100_000u64 {
        let row = Make { seq, body: vec![b'x'; 30_000], ..Make::default() }.event();
        match store.write_durably(move |tables| put(tables, &[row])).await {
            Ok(()) => {}
            Err(StoreError::NoSpace { .. }) => return seq,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it never gets full");
}

#[tokio::test]
async fn a_full_file_says_so_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    let store =
        Store::open(&path, &Options { max_pages: Some(400), reserve_bytes: 64 * 1024, ..Options::default() }).unwrap();
    goes_on(&store).await;
}

/// Nothing of what was refused is there, and there is room again once something is removed.
async fn goes_on(store: &Store) {
    let kept = fill(store).await;
    let feed = event(0).feed();
    let look = move |tables: &dyn Read| Ok((tables.stats()?.events, tables.feed(&feed)?.unwrap().held));
    assert_eq!(store.read(look).await.unwrap(), (kept, vec![(0, kept)]));
    let remove = move |tables: &mut dyn Write| {
        tables.remove_events(&feed, kept / 2)?;
        let row = tables.feed(&feed)?.unwrap();
        tables.put_feed(&crate::store::FeedRow { held: vec![(kept / 2, kept)], cut: kept / 2, ..row })
    };
    store.write_durably(remove).await.unwrap();
    let row = Make { epoch: 9, body: vec![b'x'; 30_000], ..Make::default() }.event();
    store.write_durably(move |tables| put(tables, &[row])).await.unwrap();
    assert_eq!(store.verify(true).unwrap(), Vec::<String>::new());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_says_so_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |args: &[&str]| std::process::Command::new(args[0]).args(&args[1..]).arg(&disk).output();
    let mounted = mount(&["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs"]);
    if !mounted.is_ok_and(|out| out.status.success()) {
        eprintln!("SKIPPED: a full disk needs root, to mount a small one");
        return;
    }
    let path = disk.join("node.db");
    let result = tokio::spawn(async move {
        let store = Store::open(&path, &Options { reserve_bytes: 4 * 1024 * 1024, ..Options::default() }).unwrap();
        let reserve = open::beside(&path, ".reserve");
        assert!(reserve.exists());
        goes_on(&store).await;
        assert!(!reserve.exists(), "it was given away");
        drop(store);
        // Somebody else fills the disk to the last byte.
        let store = Store::open(&path, &Options { reserve_bytes: 0, ..Options::default() }).unwrap();
        let ballast = disk_ballast(&path);
        let row = Make { epoch: 10, body: vec![b'y'; 60_000], ..Make::default() };
        let mut refused = false;
        for seq in 0..400 {
            let row = Make { seq, ..row.clone() }.event();
            refused |=
                matches!(store.write_durably(move |tables| put(tables, &[row])).await, Err(StoreError::NoSpace { .. }));
            if refused {
                break;
            }
        }
        assert!(refused);
        assert!(store.read(|tables| tables.stats()).await.is_ok());
        drop(store);
        let full = Store::open(&path, &Options { reserve_bytes: 0, ..Options::default() });
        assert!(full.is_ok() || matches!(full, Err(StoreError::NoSpace { .. })), "{full:?}");
        drop(full);
        std::fs::remove_file(ballast).unwrap();
        let store = Store::open(&path, &Options { reserve_bytes: 0, ..Options::default() }).unwrap();
        let row = Make { epoch: 11, ..Make::default() }.event();
        store.write_durably(move |tables| put(tables, &[row])).await.unwrap();
        store.close().await.unwrap();
    })
    .await;
    mount(&["umount"]).unwrap();
    result.unwrap();
}

/// Takes all the room there is.
fn disk_ballast(path: &Path) -> std::path::PathBuf {
    use std::io::Write;
    let ballast = open::beside(path, ".ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    ballast
}
