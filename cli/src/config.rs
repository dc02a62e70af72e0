//! `config.toml`: what a node of this user does whenever it goes up. We only read it.

use std::{
    fs::File,
    io::Read as _,
    ops::Range,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use p2pnode::{
    Paths,
    wire::ids::{SwarmId, SwarmName},
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use serde::Deserialize;
use toml::Spanned;
use unicode_width::UnicodeWidthStr as _;

use crate::{
    error::{CliError, exit},
    hooks::{Hook, Trigger},
    output::{escape_line, render::quote},
    program,
};

/// Its name in the folder for settings.
const FILE: &str = "config.toml";

/// Bytes; nobody writes a longer one by hand.
const MOST: u64 = 1024 * 1024;

/// Hooks of one node: each event is compared with each of them.
const HOOKS: usize = 64;

/// Its sections.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sections {
    hook: Vec<Spanned<Written>>,
}

/// A hook as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    on: Option<Spanned<String>>,
    #[serde(default)]
    mail: bool,
    swarm: Option<Spanned<String>>,
    exec: Spanned<String>,
}

/// The hooks for a node, of whatever swarms; none without a file.
pub(crate) fn hooks(paths: &Paths) -> Result<Vec<Hook>, CliError> {
    let path = path(paths);
    let Some(text) = read(&path)? else { return Ok(Vec::new()) };
    let source = Source { path: &path, text: &text };
    let sections: Sections = toml::from_str(&text).map_err(|error| source.refused(&error))?;
    if let Some(one) = sections.hook.get(HOOKS) {
        return Err(source.wrong(one.span(), &format!("{HOOKS} hooks are the most there may be"), None));
    }
    sections.hook.into_iter().map(|written| source.hook(written)).collect()
}

/// Where it is, if there is one.
fn path(paths: &Paths) -> PathBuf {
    paths.config().join(FILE)
}

/// The text, if there is a file. Others must not have a say in it: it runs programs.
fn read(path: &Path) -> Result<Option<String>, CliError> {
    let failed = |error: std::io::Error| CliError::io(path.display(), &error);
    // A pipe in its place must not make us wait for a writer. A link is fine: people keep their settings elsewhere.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed(error.into())),
    };
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(failed(std::io::Error::other("this is no ordinary file")));
    }
    let (own, mode) = (rustix::process::getuid().as_raw(), about.permissions().mode() & 0o7777);
    if ![own, 0].contains(&about.uid()) {
        return Err(not_ours(path, &format!("it belongs to user {}", about.uid()))
            .try_also(format!("chown {own} {}", quote(&path.to_string_lossy())), "once you have read it"));
    }
    if mode & 0o022 != 0 {
        return Err(not_ours(path, &format!("others can write to it (mode {mode:04o})"))
            .try_also(format!("chmod go-w {}", quote(&path.to_string_lossy())), "once you have read it"));
    }
    let mut text = String::new();
    let read = file.take(MOST + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => refused(path, "it is no text in UTF-8"),
        _ => failed(error),
    })?;
    match read as u64 > MOST {
        true => Err(refused(path, &format!("it is larger than {} MiB", MOST / 1024 / 1024))),
        false => Ok(Some(text)),
    }
}

fn refused(path: &Path, why: &str) -> CliError {
    CliError::new("config", exit::USAGE, format!("{FILE}: {why}")).looked(path.display().to_string())
}

fn not_ours(path: &Path, why: &str) -> CliError {
    refused(path, &format!("{why}, and it says which programs to run"))
}

/// The text with its place, for errors.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn hook(&self, written: Spanned<Written>) -> Result<Hook, CliError> {
        let span = written.span();
        let Written { on, mail, swarm, exec } = written.into_inner();
        if on.is_none() && !mail {
            return Err(self.wrong(span, "a hook needs `on = \"SUBJECTS\"`, `mail = true`, or both", None));
        }
        let because = |span, error: &dyn std::fmt::Display| self.wrong(span, &error.to_string(), None);
        let pattern = on.map(|on| on.get_ref().parse().map_err(|error| because(on.span(), &error))).transpose()?;
        let swarm = swarm.map(|swarm| {
            let name = swarm.get_ref().parse::<SwarmName>();
            name.map_err(|error| because(swarm.span(), &error))
        });
        let swarm = swarm.transpose()?;
        let place = format!("{} exec", self.place(exec.span().start));
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let argv = program::argv(&place, exec.get_ref(), folder)?;
        let (swarms, mail_of) = (swarm.as_ref().map(|name| vec![name.to_string()]), swarm.as_ref().map(SwarmId::open));
        Ok(Hook { place, trigger: Trigger { pattern, mail, swarms, mail_of }, argv })
    }

    /// What the parser found.
    fn refused(&self, error: &toml::de::Error) -> CliError {
        let span = error.span().unwrap_or_default();
        match unknown(error.message()) {
            Some((key, near)) => self.wrong(span, &format!("unknown key `{key}`"), near.as_deref()),
            None => self.wrong(span, error.message(), None),
        }
    }

    /// `config.toml:LINE:COLUMN`, both from 1.
    fn place(&self, at: usize) -> String {
        let (line, column, _) = self.line(at);
        format!("{FILE}:{line}:{column}")
    }

    fn line(&self, at: usize) -> (usize, usize, &str) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        (before.matches('\n').count() + 1, column, line)
    }

    /// What is wrong, with a caret under it.
    fn wrong(&self, span: Range<usize>, what: &str, near: Option<&str>) -> CliError {
        let (number, column, line) = self.line(span.start);
        let before: String = line.chars().take(column - 1).collect();
        let rest = line.get(before.len()..).unwrap_or_default();
        let marked = rest.get(..span.len()).unwrap_or(rest);
        let width = |text: &str| escape_line(text).width();
        let carets = format!("{}{}", " ".repeat(width(&before)), "^".repeat(width(marked).max(1)));
        let near = near.map(|near| format!(" did you mean `{near}`?")).unwrap_or_default();
        let place = self.place(span.start);
        let message = format!("{place} {what}\n{number:>5} | {}\n      | {carets}{near}", escape_line(line));
        CliError::new("config", exit::USAGE, message)
            .looked(self.path.display().to_string())
            .detail("line", number)
            .detail("column", column)
    }
}

/// The key that serde does not know, and the known one that is like it: its words are for programmers.
fn unknown(message: &str) -> Option<(&str, Option<String>)> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let key = quoted.next()?;
    Some((key, p2pnode::near(key, quoted).into_iter().next()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::output::style::Style;

    fn read_all(text: &str) -> Result<Vec<Hook>, CliError> {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::in_folder(folder.path()).unwrap();
        fs::write(path(&paths), text).unwrap();
        fs::set_permissions(path(&paths), fs::Permissions::from_mode(0o644)).unwrap();
        hooks(&paths)
    }

    fn told(text: &str) -> String {
        let error = read_all(text).unwrap_err();
        assert_eq!(error.exit(), 2, "{error}");
        error.to_text(Style::plain())
    }

    #[test]
    fn without_a_file_there_are_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(hooks(&Paths::in_folder(folder.path()).unwrap()).unwrap().is_empty());
        assert!(read_all("").unwrap().is_empty() && read_all("# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn hooks_are_read_as_they_are_typed() {
        let hooks = read_all(
            "[[hook]]\non = \"build.>\"\nswarm = \"garden\"\nexec = \"sh -c 'cat > x'\"\n\n[[hook]]\nmail = true\nexec = \"./tell\"\n",
        );
        let [build, mail] = &hooks.unwrap()[..] else { panic!("two") };
        assert_eq!(
            (build.place.as_str(), build.argv.as_slice()),
            ("config.toml:4:8 exec", &["sh", "-c", "cat > x"].map(str::to_owned)[..])
        );
        let trigger = &build.trigger;
        assert!(trigger.pattern.as_ref().is_some_and(|pattern| pattern.matches("build.done")) && !trigger.mail);
        assert_eq!(trigger.swarms.as_deref(), Some(&["garden".to_owned()][..]));
        assert!(mail.trigger.mail && mail.trigger.pattern.is_none() && mail.trigger.swarms.is_none());
        assert!(
            mail.argv[0].starts_with('/') && mail.argv[0].ends_with("/tell"),
            "it counts from the folder of the file"
        );
    }

    #[test]
    fn what_is_wrong_is_shown_where_it_is() {
        let text = told("[[hook]]\nexec = \"true\"\nswarn = \"garden\"\n");
        let expected = "error: config.toml:3:1 unknown key `swarn`";
        assert!(text.starts_with(expected), "{text}");
        assert!(
            text.contains("           3 | swarn = \"garden\"\n             | ^^^^^ did you mean `swarm`?\n"),
            "{text}"
        );
        for (written, said) in [
            ("[node]\nname = \"x\"\n", "config.toml:1:2 unknown key `node`"),
            ("[[hook]]\nexec = \"true\"\n", "a hook needs `on"),
            ("[[hook]]\non = \"a.b\"\n", "missing field `exec`"),
            ("[[hook]]\non = \"a..b\"\nexec = \"true\"\n", "config.toml:2:6 \"a..b\" is no pattern"),
            ("[[hook]]\nmail = 1\nexec = \"true\"\n", "config.toml:2:8 "),
            ("[[hook]]\nmail = true\nexec = \"it's\"\n", "config.toml:3:8 exec it's: a quote is not closed"),
            ("[[hook]\n", "config.toml:1:"),
            ("hook = 1\n", "config.toml:1:8 "),
            ("\u{1b}[31m", "config.toml:1:"),
        ] {
            let text = told(written);
            assert!(text.contains(said) && !text.contains('\u{1b}'), "{written:?}: {text}");
        }
        assert!(told(&"[[hook]]\nmail = true\nexec = \"true\"\n".repeat(HOOKS + 1)).contains("64 hooks"));
        assert!(told(&"#\n".repeat(600_000)).contains("larger than 1 MiB"));
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::in_folder(folder.path()).unwrap();
        fs::write(path(&paths), "").unwrap();
        for mode in [0o664, 0o646, 0o666] {
            fs::set_permissions(path(&paths), fs::Permissions::from_mode(mode)).unwrap();
            let error = hooks(&paths).unwrap_err();
            assert_eq!(error.exit(), 2);
            assert!(error.to_text(Style::plain()).contains("chmod go-w "), "{error}");
        }
        fs::remove_file(path(&paths)).unwrap();
        fs::create_dir(path(&paths)).unwrap();
        assert!(hooks(&paths).is_err(), "a folder is no file");
    }
}
