//! Which port `up` listens on.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
};

use crate::error::{CliError, exit};

/// The port everybody tries first.
const DEFAULT: u16 = 9_999;

/// Ports asked of the system before it is left to the transport.
const TRIES: u32 = 16;

/// What happens if no port is wanted.
const WITHOUT: &str = "without --port it takes 9999, or the first free one";

/// The wanted port, or else the kept one, 9999, or any, whichever is free first.
///
/// Tried with sockets of our own: the transport shares TCP ports (`SO_REUSEPORT`), so two nodes would get the same one
/// and each a part of the connections.
pub(crate) fn choose(wanted: Option<u16>, kept: Option<u16>) -> Result<u16, CliError> {
    let Some(port) = wanted else {
        let free = |port: &u16| *port != 0 && is_free(*port).is_ok();
        return Ok(kept.into_iter().chain([DEFAULT]).find(free).unwrap_or_else(any));
    };
    match is_free(port) {
        Ok(()) => Ok(port),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(CliError::usage(format!("port {port} may not be used: {error}"))
                .maybe("ports below 1024 are for the administrator")
                .maybe(WITHOUT))
        }
        Err(error) => Err(CliError::new("port_in_use", exit::CONFLICT, format!("port {port} is taken: {error}"))
            .maybe("another node or program on this host listens there")
            .maybe(WITHOUT)),
    }
}

/// One that the system offers and that is free in both protocols; 0, so that the transport takes any, if that fails.
fn any() -> u16 {
    let offered = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|holder| holder.local_addr());
    let ports = (0..TRIES).filter_map(|_| offered().ok()).map(|addr| addr.port());
    ports.into_iter().find(|port| is_free(*port).is_ok()).unwrap_or(0)
}

/// Both protocols, both kinds of addresses. A host without IPv6 is no obstacle.
fn is_free(port: u16) -> io::Result<()> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let tcp = TcpListener::bind(any)?;
    let udp = UdpSocket::bind(any)?;
    drop((tcp, udp));
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    for outcome in [TcpListener::bind(any).map(drop), UdpSocket::bind(any).map(drop)] {
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_if_wanted_and_passed_over_if_not() {
        let holder = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let taken = holder.local_addr().unwrap().port();
        let error = choose(Some(taken), None).unwrap_err();
        assert_eq!((error.exit(), error.facts().code.as_ref()), (8, "port_in_use"));
        assert_ne!(choose(None, Some(taken)).unwrap(), taken);
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(choose(Some(udp.local_addr().unwrap().port()), None).is_err(), "UDP counts as well");
        assert_ne!(any(), 0);
        drop(holder);
        assert_eq!(choose(None, Some(taken)).unwrap(), taken);
    }
}
