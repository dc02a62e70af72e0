//! Ctrl-C and TERM: once means leave gracefully, twice means now.

use std::{io, process};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// Exit codes after a clean leave.
pub(crate) const INTERRUPTED: u8 = 130;
pub(crate) const TERMINATED: u8 = 143;

/// Tells whether, and by which signal, the process was asked to stop. Clones listen to the same thing.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<Option<u8>>);

impl Stop {
    /// Takes over both signals. A second one ends the process at once, programs we started included.
    pub(crate) fn listen() -> io::Result<Self> {
        let (tell, told) = watch::channel(None);
        let signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::spawn(watch_signals(signals, tell));
        Ok(Self(told))
    }

    /// One that somebody else tells: a client of the control socket.
    pub(crate) fn told() -> (watch::Sender<Option<u8>>, Self) {
        let (tell, told) = watch::channel(None);
        (tell, Self(told))
    }

    /// Resolves with the exit code when the process shall stop.
    pub(crate) async fn requested(&self) -> u8 {
        let mut told = self.0.clone();
        let code = told.wait_for(Option::is_some).await.map(|code| *code);
        match code {
            Ok(Some(code)) => code,
            // Who tells has gone without a word: there is nothing left to stop.
            _ => std::future::pending().await,
        }
    }

    /// The exit code if a signal has come already.
    pub(crate) fn code(&self) -> Option<u8> {
        *self.0.borrow()
    }
}

async fn watch_signals((mut interrupt, mut terminate): (Signal, Signal), tell: watch::Sender<Option<u8>>) {
    let code = next(&mut interrupt, &mut terminate).await;
    let _ = tell.send(Some(code));
    let code = next(&mut interrupt, &mut terminate).await;
    crate::program::kill_all();
    process::exit(i32::from(code));
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> u8 {
    tokio::select! {
        _ = interrupt.recv() => INTERRUPTED,
        _ = terminate.recv() => TERMINATED,
    }
}
