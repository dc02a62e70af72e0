//! Scenarios that come with the program.

/// A scenario of the program: its name and its file.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
}

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        /// All of them, small to large.
        pub const BUILTIN: &[Builtin] = &[
            $(Builtin { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".toml")) }),*
        ];
    };
}

builtin!(
    "ask-20",
    "heal-24",
    "churn-24",
    "directory-40",
    "sybil-60",
    "broadcast-100",
    "presence-100",
    "growth-100",
    "partition-200",
    "churn-300",
    "broadcast-500",
    "dht-1000",
    "directory-1000",
    "sybil-1000",
    "sybil-keys",
    "presence-1000",
    "presence-3000",
);

/// What `p2psim new` writes.
pub const TEMPLATE: &str = include_str!("../../scenarios/template.toml");

#[cfg(test)]
mod tests {
    use super::{super::Scenario, *};

    #[test]
    fn all_can_be_read_and_are_named_as_their_files() {
        for builtin in BUILTIN {
            let scenario = Scenario::parse(builtin.name, builtin.text).unwrap_or_else(|wrong| panic!("{wrong}"));
            assert_eq!(scenario.name, builtin.name);
            assert!(!scenario.description.is_empty() && !scenario.thresholds.is_empty(), "{}", builtin.name);
        }
        Scenario::parse("template", TEMPLATE).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}
