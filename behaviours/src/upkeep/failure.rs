//! Errors of dials, for people.

use libp2p_swarm::DialError;

/// A dial error in one line: the innermost causes, not their wrapping.
pub(crate) fn describe(error: &DialError) -> String {
    match error {
        DialError::NoAddresses => "no address of it is known".to_owned(),
        DialError::Transport(errors) => {
            let parts: Vec<String> = errors.iter().map(|(addr, e)| format!("{addr}: {}", innermost(e))).collect();
            parts.join("; ")
        }
        DialError::Denied { cause } => innermost(cause),
        other => innermost(other),
    }
}

pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
