//! synapse-p2p's own node and client, each in a Python of its own: `benches/compare/synapse.py`.

use std::{process::Command, time::Duration};

use anyhow::{Context, ensure};
use p2pnode_benches::{
    figures::root,
    server::Server,
    ways::{Made, Samples},
};

/// Both processes.
pub(crate) struct Synapse {
    node: Server,
    client: Server,
}

impl Synapse {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let python = std::env::var_os("SYNAPSE_PYTHON").unwrap_or_else(|| "python3".into());
        let script = root().join("benches/compare/synapse.py");
        let (node, port) = Server::run(Command::new(&python).arg(&script).arg("serve"))
            .context("synapse-p2p does not start; benches/compare/run installs it")?;
        let (client, _) = Server::run(Command::new(&python).arg(&script).args(["call", &port]))?;
        Ok(Self { node, client })
    }

    pub(crate) fn round(
        &mut self,
        samples: &mut Samples,
        (many, size, time): (usize, usize, Duration),
    ) -> anyhow::Result<()> {
        let before = self.node.cpu()?;
        self.client.tell(&format!("{many} {} {size}", time.as_secs_f64()))?;
        let line = self.client.line()?;
        let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().context(line.clone())?;
        ensure!(numbers.len() == 4, "four numbers: {line}");
        let [calls, took, p50_us, own] = [0, 1, 2, 3].map(|index| numbers.get(index).copied().unwrap_or(f64::NAN));
        let spent = self.node.cpu()? - before + Duration::from_secs_f64(own / 1e9);
        samples.add(Made { calls, took, p50_us }, spent);
        Ok(())
    }
}
