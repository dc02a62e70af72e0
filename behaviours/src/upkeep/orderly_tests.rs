use futures::{AsyncReadExt, AsyncWriteExt, executor::block_on, io::Cursor};

use super::*;

#[test]
fn is_recognised_however_wrapped() {
    let wrapped = io::Error::other(io::Error::other(PeerClosed::error()));
    assert!(PeerClosed::caused(&wrapped));
    assert!(!PeerClosed::caused(&io::Error::from(io::ErrorKind::ConnectionAborted)));
}

#[test]
fn the_last_frame_counts_in_whatever_pieces_it_comes() {
    for piece in [1, 5, 11, 12, 13, 100] {
        let mut bytes = vec![7; 30];
        bytes.extend(GO_AWAY);
        let (mut io, tail) = Sniffed::new(Cursor::new(bytes));
        let mut buf = vec![0; piece];
        while block_on(io.read(&mut buf)).expect("reads") > 0 {}
        assert!(tail.is_go_away(), "in pieces of {piece}");
        tail.note(&[1]);
        assert!(!tail.is_go_away());
    }
    let (mut io, tail) = Sniffed::new(Cursor::new(Vec::new()));
    block_on(io.write_all(&GO_AWAY)).expect("writes");
    assert!(!tail.is_go_away(), "what we say ourselves does not count");
}
