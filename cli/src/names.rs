//! What the node of a command is called.

use std::hash::{BuildHasher as _, RandomState};

/// The name of a node that lives for one command: `cli-9f31`. Only has to differ from others at the same time.
pub(crate) fn of_command() -> String {
    let random = RandomState::new().hash_one(std::process::id()).to_le_bytes();
    let signs: String = random.iter().take(4).map(|byte| char::from(SIGNS[usize::from(byte % 32)])).collect();
    format!("cli-{signs}")
}

/// Without `0`, `1`, `i`, `l`: they look like each other when read aloud or copied by hand.
const SIGNS: &[u8; 32] = b"23456789abcdefghjkmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_names_of_their_own() {
        let name = of_command();
        assert!(name.len() == 8 && name.starts_with("cli-"), "{name}");
        assert_ne!(of_command(), of_command());
    }
}
