//! NATS request and reply: a broker, a process that answers, and this one that asks.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use async_nats::Client;
use bytes::Bytes;
use futures::StreamExt;
use p2pnode_benches::{
    cpu,
    figures::tell,
    server::{Server, cpu_on_request},
    ways::{Samples, Way, call},
};

/// Where the broker is, for the process that answers.
const URL: &str = "BENCH_NATS_URL";

/// How long the broker may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// The other process: answers with what it was sent.
pub(crate) async fn answer() -> anyhow::Result<()> {
    let client = async_nats::connect(std::env::var(URL)?).await?;
    let mut asked = client.subscribe("echo").await?;
    client.flush().await?;
    tokio::spawn(async move {
        while let Some(message) = asked.next().await {
            if let Some(reply) = message.reply
                && client.publish(reply, message.payload).await.is_err()
            {
                return;
            }
        }
    });
    tell("ready")?;
    cpu_on_request().await
}

#[derive(Clone)]
struct Asking(Client);

impl Way for Asking {
    async fn call(&self, body: Bytes) -> anyhow::Result<Bytes> {
        Ok(self.0.request("echo", body).await?.payload)
    }
}

/// The broker, who answers, and how to ask.
pub(crate) struct Nats {
    broker: Child,
    server: Server,
    client: Asking,
}

impl Nats {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let program = std::env::var_os("NATS_SERVER").unwrap_or_else(|| "nats-server".into());
        let broker = Command::new(program)
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .context("nats-server does not start; benches/compare/run installs it")?;
        let (url, started) = (format!("nats://127.0.0.1:{port}"), Instant::now());
        let client = loop {
            match async_nats::connect(&url).await {
                Ok(client) => break client,
                Err(error) if started.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let (server, _) = Server::run(Command::new(std::env::current_exe()?).arg("--nats").env(URL, url))?;
        Ok(Self { broker, server, client: Asking(client) })
    }

    fn spent(&mut self) -> anyhow::Result<Duration> {
        Ok(cpu() + self.server.cpu()? + of(self.broker.id())?)
    }

    pub(crate) async fn round(
        &mut self,
        samples: &mut Samples,
        (many, size, time): (usize, usize, Duration),
    ) -> anyhow::Result<()> {
        let before = self.spent()?;
        let made = call(&self.client, many, size, time).await?;
        samples.add(made, self.spent()? - before);
        Ok(())
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.broker.kill();
        let _ = self.broker.wait();
    }
}

/// CPU time of another process, to a hundredth of a second: fields 14 and 15 of proc(5)'s stat.
fn of(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("a name in parentheses")?;
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse().unwrap_or(0u64)).sum();
    Ok(Duration::from_millis(ticks * 10))
}
