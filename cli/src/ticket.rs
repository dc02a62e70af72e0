//! Tickets as people give them: an argument, stdin, a file, the environment, or asked for.

use std::{
    env,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::Path,
};

use p2pnode::{
    BootstrapAddr, ticket_seeds,
    wire::ticket::{Ticket, TicketError},
};

use crate::{error::CliError, input};

/// Where a ticket may be, so that no list of processes shows it.
const VARIABLE: &str = "P2PNODE_TICKET";

/// Where somebody wants to go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    /// By a ticket.
    Ticket(Ticket),
    /// A swarm by its name.
    Swarm(String),
    /// To whoever is at an address.
    Address(BootstrapAddr),
}

impl Place {
    /// What a text means.
    pub(crate) fn read(text: &str) -> Result<Self, CliError> {
        let text = text.trim();
        if looks_like_one(text) {
            return read(text).map(Self::Ticket);
        }
        if let Some(address) = crate::connect::address_of(text)? {
            return Ok(Self::Address(address));
        }
        // A dot is in names of hosts and in no name of a swarm that people give.
        match crate::connect::swarm_name(text) {
            Ok(name) => Ok(Self::Swarm(name)),
            Err(error) => text.parse().map(Self::Address).map_err(|_| error),
        }
    }
}

/// Whether a text is meant as a ticket, good or bad.
pub(crate) fn looks_like_one(text: &str) -> bool {
    let text = text.trim_start().to_ascii_lowercase();
    text.starts_with("p2pnode://") || text.strip_prefix("p2pn").is_some_and(|rest| rest.starts_with(char::is_numeric))
}

/// A ticket, or what is wrong with it.
pub(crate) fn read(text: &str) -> Result<Ticket, CliError> {
    text.parse().map_err(|error: TicketError| {
        let wrong = CliError::usage(error.to_string());
        match error {
            TicketError::NotATicket => wrong.try_also("p2pnode invite", "prints one, where a node runs"),
            TicketError::Newer => wrong.maybe("this program is older than the one that made it: a newer one reads it"),
            _ => wrong
                .maybe("it was not copied as a whole")
                .try_also("p2pnode invite | ssh HOST p2pnode join -", "no copying at all"),
        }
    })
}

/// Where a bootstrap option leads: to an address, or to those of a ticket.
pub(crate) fn bootstrap(text: &str) -> Result<Vec<BootstrapAddr>, CliError> {
    if looks_like_one(text) {
        return read(text).map(|ticket| ticket_seeds(&ticket));
    }
    text.parse().map(|addr| vec![addr]).map_err(|error| CliError::usage(format!("--bootstrap {text}: {error}")))
}

/// What was given instead of a ticket on the command line, if it was not there: `-` is stdin, `@` begins a file's name.
pub(crate) async fn given(word: Option<&str>) -> Result<String, CliError> {
    let utf8 = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| CliError::usage("that is not text"));
    match word {
        Some("-") => utf8(input::stdin().await?),
        Some(word) => match word.strip_prefix('@') {
            Some(path) => utf8(input::file(Path::new(path))?),
            None => Ok(word.to_owned()),
        },
        None => match env::var(VARIABLE) {
            Ok(ticket) if !ticket.trim().is_empty() => Ok(ticket),
            _ => asked().await,
        },
    }
}

/// On a terminal only: a program would wait for ever.
async fn asked() -> Result<String, CliError> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(CliError::usage("join what?")
            .try_also("p2pnode join TICKET", "what `p2pnode invite` prints; - is stdin, @FILE a file")
            .try_also("p2pnode join SWARM", "a swarm by its name"));
    }
    let asking = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        write!(io::stderr(), "ticket: ").and_then(|()| io::stderr().flush())?;
        io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    match asking.await {
        Ok(Ok(line)) => Ok(line),
        Ok(Err(error)) => Err(CliError::io("stdin", &error)),
        Err(error) => Err(CliError::internal(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_word_means() {
        let ticket = Ticket::open("garden".parse().unwrap(), Vec::new()).unwrap();
        let written = ticket.to_string();
        for text in
            [written.clone(), written.to_uppercase(), format!("p2pnode://join/{written}"), format!(" {written}\n")]
        {
            assert_eq!(Place::read(&text).unwrap(), Place::Ticket(ticket.clone()), "{text}");
        }
        assert_eq!(Place::read("garden").unwrap(), Place::Swarm("garden".into()));
        assert!(matches!(Place::read("192.168.1.5:9999").unwrap(), Place::Address(_)));
        assert!(matches!(Place::read("/ip4/1.2.3.4/tcp/5").unwrap(), Place::Address(_)));
        let cut = &written[..written.len() - 3];
        assert!(Place::read(cut).unwrap_err().to_string().contains("cut off"));
        assert!(Place::read("p2pn9aaaa").is_err());
        assert!(Place::read("what is this").is_err());
    }
}
