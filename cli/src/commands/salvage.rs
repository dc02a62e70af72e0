//! `p2pnode history salvage`: what is whole in a damaged database, in a new one.

use p2pnode::{
    Profile,
    store::{Options, Salvage, Store, StoreError},
};
use serde_json::{Value, json};
use tokio::{runtime::Handle, task::spawn_blocking};

use super::kept::no_store;
use crate::{
    context::Ctx,
    error::{CliError, exit},
    output::{
        escape_line,
        render::count,
        table::{Column, Table},
    },
    profile,
};

/// Lost rows that people are told of; programs get what the store names.
const NAMED: usize = 5;

/// What came of it.
struct Outcome {
    /// What was wrong; none if nothing was.
    damage: Option<String>,
    salvage: Salvage,
}

/// Only without a node: the one that runs holds the file.
pub(super) async fn run(ctx: &Ctx) -> Result<(), CliError> {
    if ctx.daemon.is_some() {
        let message = "a node that runs does not mend its own database";
        return Err(CliError::new("already_running", exit::CONFLICT, message)
            .try_also("p2pnode down", "stop it first, then `p2pnode history salvage`"));
    }
    let (paths, name) = (profile::paths(&ctx.global)?, profile::chosen(&ctx.global));
    let path = paths.store_path(name)?;
    if !path.exists() {
        return Err(no_store(name, &path));
    }
    let _profile = Profile::open(&paths, name)?;
    let shown = path.display().to_string();
    // Not to be stopped halfway.
    let work = spawn_blocking(move || {
        let options = Options { reserve_bytes: 0, check_max: u64::MAX, ..Options::default() };
        let close = |store: Store| Handle::current().block_on(async move { store.close().await });
        let damage = match Store::open(&path, &options) {
            Ok(store) => return close(store).map(|()| Outcome { damage: None, salvage: Salvage::default() }),
            Err(StoreError::Damaged { what, .. }) => what,
            Err(error) => return Err(error),
        };
        let salvage = Store::salvage(&path)?;
        let store = Store::open(&path, &options)?;
        // Own events may be among those that were lost: the feeds of before are not gone on with.
        Handle::current().block_on(store.leave_own_feeds())?;
        close(store)?;
        Ok(Outcome { damage: Some(damage), salvage })
    });
    let outcome = work.await.unwrap_or(Err(StoreError::Closed))?;
    ctx.answer(outcome.json(name), ctx.meta(), || outcome.text(ctx, &shown))
}

impl Outcome {
    /// Each table with what was kept of it and what was lost.
    fn tables(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        self.salvage.saved.iter().zip(&self.salvage.missing).map(|((name, kept), (_, lost))| (*name, *kept, *lost))
    }

    fn json(&self, profile: &str) -> Value {
        let tables = self.tables().map(|(name, kept, lost)| json!({"name": name, "kept": kept, "lost": lost}));
        json!({
            "profile": profile, "damaged": self.damage.is_some(), "what": self.damage,
            "moved_to": self.damage.as_ref().map(|_| self.salvage.moved_to.display().to_string()),
            "tables": tables.collect::<Vec<_>>(), "lost": self.salvage.lost, "unfound": self.salvage.unfound,
        })
    }

    fn text(&self, ctx: &Ctx, path: &str) -> String {
        let Some(damage) = &self.damage else { return format!("{path} is whole: there is nothing to salvage") };
        let mut table = Table::new(&[Column::new("TABLE"), Column::new("KEPT").right(), Column::new("LOST").right()]);
        for (name, kept, lost) in self.tables() {
            table.row([(name.to_owned(), None), (kept.to_string(), None), (lost.to_string(), None)]);
        }
        let mut lines = vec![format!("{path} was damaged: {}", escape_line(damage))];
        if !self.salvage.saved.is_empty() {
            lines.push(table.render(Some(ctx.out.width), ctx.out.style, ctx.out.glyphs.cut));
        }
        let lost = &self.salvage.lost;
        lines.extend(lost.iter().take(NAMED).map(|name| format!("lost: {}", escape_line(name))));
        if lost.len() > NAMED {
            lines.push(format!("lost: {} more", lost.len() - NAMED));
        }
        if self.salvage.unfound > 0 {
            let texts = count(usize::try_from(self.salvage.unfound).unwrap_or(usize::MAX), "text", "texts");
            lines.push(format!("{texts} kept that `history search` does not find"));
        }
        lines.push(format!("the damaged file is now {}", self.salvage.moved_to.display()));
        lines.join("\n")
    }
}
