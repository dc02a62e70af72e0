//! Colours by role and glyphs by locale. No state is told by colour alone.

use anstyle::{AnsiColor, Style as Ansi};

/// What a piece of text is. Sixteen-colour codes, so that the user's theme holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Went well.
    Ok,
    /// Look here.
    Warn,
    /// Went wrong.
    Bad,
    /// A node or swarm.
    Name,
    /// Less important.
    Dim,
    /// To be typed.
    Accent,
}

impl Role {
    const fn ansi(self) -> Ansi {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Name => Ansi::new().bold(),
            Self::Dim => Ansi::new().dimmed(),
            Self::Accent => AnsiColor::Cyan.on_default(),
        }
    }
}

/// Whether one stream takes colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    colour: bool,
}

impl Style {
    /// With or without colour.
    pub(crate) const fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// Without colour.
    #[cfg(test)]
    pub(crate) const fn plain() -> Self {
        Self { colour: false }
    }

    /// Whether there is colour.
    pub(crate) const fn colour(self) -> bool {
        self.colour
    }

    /// The text in the colour of its role.
    pub(crate) fn paint(self, role: Role, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let ansi = role.ansi();
        format!("{ansi}{text}{ansi:#}")
    }
}

/// Signs that need UTF-8, with stand-ins for other locales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glyphs {
    /// Acked, done.
    pub(crate) ok: &'static str,
    /// Failed.
    pub(crate) bad: &'static str,
    /// Still working.
    pub(crate) busy: &'static str,
    /// Online.
    pub(crate) online: &'static str,
    /// Suspect.
    pub(crate) suspect: &'static str,
    /// Offline.
    pub(crate) offline: &'static str,
    /// To somebody.
    pub(crate) to: &'static str,
    /// Cut off.
    pub(crate) cut: &'static str,
    /// Not known; never stands for a state.
    pub(crate) unknown: &'static str,
}

/// For UTF-8 locales.
pub(crate) const UNICODE: Glyphs =
    Glyphs {
        ok: "✓", bad: "✗", busy: "…", online: "●", suspect: "◐", offline: "○", to: "→", cut: "…", unknown: "—"
    };

/// For all others.
pub(crate) const ASCII: Glyphs = Glyphs {
    ok: "+",
    bad: "x",
    busy: "~",
    online: "*",
    suspect: "?",
    offline: "o",
    to: "->",
    cut: "..",
    unknown: "n/a",
};

impl Glyphs {
    /// By the locale, as the C library reads it: the first of these that is set and not empty decides.
    pub(crate) fn of_locale(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable).find(|value| !value.is_empty());
        let locale = locale.unwrap_or_default().to_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") { UNICODE } else { ASCII }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_adds_nothing() {
        assert_eq!(Style::plain().paint(Role::Bad, "x"), "x");
        assert_eq!(Style::new(true).paint(Role::Ok, "x"), "\u{1b}[32mx\u{1b}[0m");
        assert_eq!(Style::new(true).paint(Role::Ok, ""), "");
    }

    #[test]
    fn glyphs_by_locale() {
        let with = |values: &'static [(&str, &str)]| {
            Glyphs::of_locale(|name| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(with(&[("LANG", "en_GB.UTF-8")]), UNICODE);
        assert_eq!(with(&[("LANG", "C.utf8")]), UNICODE);
        assert_eq!(with(&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")]), ASCII);
        assert_eq!(with(&[("LC_ALL", ""), ("LANG", "de_DE.UTF-8")]), UNICODE);
        assert_eq!(with(&[]), ASCII);
    }

    #[test]
    fn stand_ins_are_ascii() {
        for sign in [ASCII.ok, ASCII.bad, ASCII.busy, ASCII.online, ASCII.suspect, ASCII.offline, ASCII.to, ASCII.cut] {
            assert!(sign.is_ascii());
        }
    }
}
