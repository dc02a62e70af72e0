//! `p2pnode serve`: a node with one endpoint, which is a program.

use crate::{
    args::{
        talk::Serve,
        up::{Relay, Single, Up},
    },
    context::Ctx,
    error::CliError,
    input,
};

/// Serves until something ends it.
pub(super) async fn run(ctx: &Ctx, args: Serve) -> Result<u8, CliError> {
    let schema = args.schema.as_deref().map(|path| {
        let text = input::file(path)?;
        serde_json::from_slice(&text)
            .map_err(|error| CliError::usage(format!("--schema {}: it is no JSON: {error}", path.display())))
    });
    let single = Single {
        endpoint: args.endpoint.clone(),
        command: args.command,
        concurrency: args.concurrency as usize,
        run_limit: args.run_limit,
        stream: args.stream,
        schema: schema.transpose()?,
        describe: args.describe,
        private: args.private,
        env_allow: args.env_allow,
    };
    let own = (!args.private).then(|| args.endpoint.clone());
    let up = Up {
        swarms: Vec::new(),
        demo: false,
        ask: None,
        serve: Vec::new(),
        cap: own.into_iter().chain(args.cap).collect(),
        name: args.name,
        role: None,
        team: None,
        port: args.port,
        listen: Vec::new(),
        allow: args.allow,
        relay: Relay::Auto,
        upnp: false,
        hidden: false,
        invite: false,
        no_dht: false,
        detach: false,
        single: Some(single),
        inject_panic: false,
    };
    super::up::run(ctx, up).await
}
