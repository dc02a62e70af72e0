//! The first lines of `up`: who this is, who can reach it, what it serves, what to type next.

use std::time::Duration;

use super::{
    Out, address, escape_line,
    render::{count, quote, seconds, short_id},
    style::Role,
};

/// What the banner tells.
#[derive(Debug, Clone)]
pub(crate) struct Banner {
    /// Name of the node.
    pub(crate) name: String,
    /// Its id.
    pub(crate) id: String,
    /// The identity was made just now.
    pub(crate) new: bool,
    /// Name of the profile.
    pub(crate) profile: String,
    /// Swarms it is in.
    pub(crate) swarms: Vec<String>,
    /// Callers from anywhere are answered.
    pub(crate) any: bool,
    /// Where it listens.
    pub(crate) listen: Vec<String>,
    /// What it serves, the demo's handlers excepted.
    pub(crate) serving: Vec<String>,
    /// It serves the demo's handlers.
    pub(crate) demo: bool,
    /// It answers questions.
    pub(crate) asks: bool,
    /// Hooks that it runs, and those that are for other swarms.
    pub(crate) hooks: (usize, usize),
    /// Tickets to its swarms, if they were wanted.
    pub(crate) tickets: Vec<String>,
    /// Its control socket.
    pub(crate) control: String,
    /// Since the process began.
    pub(crate) ready: Duration,
}

impl Banner {
    /// The lines.
    pub(crate) fn text(&self, out: &Out) -> String {
        let mut lines = vec![self.head(out)];
        for swarm in &self.swarms {
            lines.push(row(out, "swarm", &format!("{swarm}   {}", self.who())));
        }
        lines.push(row(out, "listening", &address::line(&self.listen, out.glyphs.cut)));
        if self.demo || !self.serving.is_empty() {
            lines.push(row(out, "serving", &self.served()));
        }
        if self.hooks != (0, 0) {
            lines.push(row(out, "hooks", &self.hooked()));
        }
        lines.extend(self.tickets.iter().map(|ticket| row(out, "ticket", ticket)));
        lines.push(row(out, "control", &escape_line(&self.control)));
        lines.push(format!("ready in {}.  {}", seconds(self.ready), self.next(out)));
        lines.join("\n")
    }

    fn head(&self, out: &Out) -> String {
        let name = out.style.paint(Role::Name, &escape_line(&self.name));
        let id = short_id(&self.id, out.glyphs.cut);
        let new = if self.new { "   (new identity)" } else { "" };
        let profile = if self.profile == "default" { String::new() } else { format!("   profile {}", self.profile) };
        format!("p2pnode {}   node {name}   {id}{new}{profile}", env!("CARGO_PKG_VERSION"))
    }

    fn who(&self) -> &'static str {
        match self.any {
            true => "open: anyone who knows the name can join, and call from anywhere",
            false => "open: anyone who knows the name can join; this host and private networks can call",
        }
    }

    fn served(&self) -> String {
        let demo = self.demo.then(|| format!("{}   (demo handlers)", crate::demo::SERVED.join(", ")));
        let own = (!self.serving.is_empty()).then(|| self.serving.join(", "));
        own.into_iter().chain(demo).collect::<Vec<_>>().join("   ")
    }

    fn hooked(&self) -> String {
        let others = match self.hooks.1 {
            0 => String::new(),
            others => format!("; {others} for other swarms"),
        };
        format!("{}   (config.toml{others})", count(self.hooks.0, "program", "programs"))
    }

    /// Only what this node can answer.
    fn next(&self, out: &Out) -> String {
        let swarm = self.swarms.first().map_or("", String::as_str);
        let command = match (self.asks, self.serving.is_empty()) {
            (true, _) => format!("p2pnode ask {swarm} \"who is there?\""),
            (false, false) => format!("p2pnode call {} --list", quote(&self.name)),
            (false, true) => format!("p2pnode members {swarm}"),
        };
        format!("In another terminal:  {}", out.style.paint(Role::Accent, &command))
    }
}

fn row(out: &Out, label: &str, text: &str) -> String {
    format!("  {} {text}", out.style.paint(Role::Dim, &format!("{label:<9}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Early, global::Color};

    fn banner() -> Banner {
        Banner {
            name: "fern-7q2k".into(),
            id: "12D3KooWQv7yAbCdEfGhJkLmNpQrStUvWxYz123456789AbCXh3d".into(),
            new: true,
            profile: "default".into(),
            swarms: vec!["garden".into()],
            any: false,
            listen: ["/ip4/127.0.0.1/tcp/9999", "/ip4/192.168.1.25/tcp/9999", "/ip4/192.168.1.25/udp/9999/quic-v1"]
                .map(str::to_owned)
                .to_vec(),
            serving: Vec::new(),
            demo: true,
            asks: true,
            hooks: (0, 0),
            tickets: Vec::new(),
            control: "/run/user/1000/p2pnode/default.sock".into(),
            ready: Duration::from_millis(40),
        }
    }

    fn out() -> Out {
        let mut out = Out::new(Early { color: Color::Never, ..Early::default() }, false);
        out.glyphs = super::super::style::UNICODE;
        out
    }

    #[test]
    fn as_on_the_page() {
        let expected = format!(
            "\
p2pnode {}   node fern-7q2k   12D3KooWQv7y…Xh3d   (new identity)
  swarm     garden   open: anyone who knows the name can join; this host and private networks can call
  listening 192.168.1.25:9999 (quic, tcp)   127.0.0.1:9999 (tcp)
  serving   ask, echo, sum, time   (demo handlers)
  control   /run/user/1000/p2pnode/default.sock
ready in 0.04 s.  In another terminal:  p2pnode ask garden \"who is there?\"",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(banner().text(&out()), expected);
    }

    #[test]
    fn the_hint_fits_what_is_served() {
        let serves = Banner { demo: false, asks: false, serving: vec!["resize".into()], ..banner() };
        assert!(serves.text(&out()).ends_with("p2pnode call fern-7q2k --list"));
        let nothing = Banner { demo: false, asks: false, any: true, profile: "b".into(), ..banner() };
        let text = nothing.text(&out());
        assert!(text.ends_with("p2pnode members garden") && !text.contains("serving"), "{text}");
        assert!(!text.contains("hooks"), "{text}");
        let hooked = Banner { hooks: (2, 1), ..banner() }.text(&out());
        assert!(hooked.contains("\n  hooks     2 programs   (config.toml; 1 for other swarms)\n"), "{hooked}");
        assert!(text.contains("(new identity)   profile b") && text.contains("call from anywhere"), "{text}");
    }
}
