//! Programs that events and messages wake: which ones, and who is muted. `subscribe --exec` has one as long as it runs, a
//! node those of its `config.toml`.

mod standing;
mod trigger;

pub(crate) use self::{
    standing::{Hook, Standing},
    trigger::{Muted, Trigger, offer},
};
