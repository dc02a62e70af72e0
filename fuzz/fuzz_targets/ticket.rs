//! Whatever is accepted as a ticket is written the one way it was; nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2pnode_wire::ticket::Ticket;

fuzz_target!(|data: &[u8]| {
    // As text; and as contents, since nobody guesses a checksum.
    if let Ok(ticket) = String::from_utf8_lossy(data).parse::<Ticket>() {
        assert_eq!(ticket.to_string().parse().as_ref(), Ok(&ticket));
    }
    if let Ok(ticket) = Ticket::decode(data) {
        assert_eq!(ticket.encode(), data);
        assert_eq!(ticket.to_string().parse().as_ref(), Ok(&ticket));
        assert_eq!(ticket.to_string().to_uppercase().parse().as_ref(), Ok(&ticket));
    }
});
