//! Names of artifacts: labels that peers choose, and what may become of them on a disk.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use p2pnode_wire::escape::escape_line;
use rustix::fs::{Mode, OFlags};
use unicode_normalization::UnicodeNormalization as _;

use super::error::{ArtifactError, ExportError};

/// Bytes of a name.
const MAX: usize = 255;

/// Names that are devices on Windows, whatever follows a dot.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// A label in its normal form.
pub(super) fn label(name: &str) -> Result<String, ArtifactError> {
    // Longer ones are not normalized: they only get longer.
    let name: String = if name.len() <= 4 * MAX { name.nfc().collect() } else { return Err(ArtifactError::Name) };
    let ok = !name.trim().is_empty() && name.len() <= MAX && !steers(&name);
    if ok { Ok(name) } else { Err(ArtifactError::Name) }
}

/// Whether it holds what could steer a terminal or turn text around.
fn steers(name: &str) -> bool {
    matches!(escape_line(name), std::borrow::Cow::Owned(_))
}

/// The name of the file that an artifact of this name becomes: what follows the last slash of either kind.
///
/// # Errors
/// [`ExportError::Name`], if that is no name that is harmless everywhere.
pub fn file_name(label: &str) -> Result<String, ExportError> {
    let wrong = |why| Err(ExportError::Name(why));
    let last = label.rsplit(['/', '\\']).next().unwrap_or_default();
    if last.len() > 4 * MAX {
        return wrong("it is too long");
    }
    let name: String = last.nfc().collect();
    match name.as_str() {
        "" => wrong("it is empty"),
        _ if name.len() > MAX => wrong("it is too long"),
        _ if steers(&name) || name.chars().any(char::is_control) => wrong("it holds control characters"),
        _ if name.starts_with('.') => wrong("it begins with a dot"),
        _ if name.starts_with('-') => wrong("it begins with a dash"),
        _ if name.ends_with(['.', ' ']) || name.starts_with(' ') => {
            wrong("it begins or ends with a space, or ends with a dot")
        }
        // Normalization makes no slashes today; it may learn to.
        _ if name.contains(['/', '\\', ':', '<', '>', '"', '|', '?', '*']) => {
            wrong("it holds signs that systems use otherwise")
        }
        _ if is_device(&name) => wrong("it is the name of a device"),
        _ => Ok(name),
    }
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_uppercase();
    let numbered = ["COM", "LPT"].iter().filter_map(|port| stem.strip_prefix(port));
    let mut numbers =
        numbered.map(|number| number.chars().count() == 1 && number.chars().all(|c| "0123456789¹²³".contains(c)));
    DEVICES.contains(&stem.as_str()) || numbers.any(|device| device)
}

/// Writes an artifact into a folder, as a new file: nothing that is there is written to or through, and nothing outside of
/// the folder. Where it is.
///
/// # Errors
/// [`ExportError`].
pub fn export(folder: &Path, label: &str, data: &[u8]) -> Result<PathBuf, ExportError> {
    let name = file_name(label)?;
    let path = folder.join(&name);
    let failed = |source: io::Error| ExportError::Io { path: path.clone(), source };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&folder, name.as_str(), flags, Mode::from_raw_mode(0o600));
    let mut file = File::from(file.map_err(|error| failed(error.into()))?);
    file.write_all(data).map_err(&failed)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nasty() -> Vec<String> {
        let mut names: Vec<String> = [
            "",
            ".",
            "..",
            "/",
            "//",
            "\\",
            "../",
            "..\\",
            "a/",
            "a\\",
            "a/..",
            "a/.",
            "a\\..",
            "/..",
            "./.",
            "../..",
            ".bashrc",
            ".ssh",
            "-rf",
            "--help",
            " ",
            "a ",
            " a",
            "a.",
            "a..",
            "nul",
            "NUL",
            "NUL.txt",
            "nul.tar.gz",
            "CON",
            "con",
            "Con.txt",
            "CON .txt",
            "PRN",
            "AUX",
            "aux.c",
            "CONIN$",
            "CONOUT$",
            "x/CON",
            "a:b",
            "file.txt:stream",
            "C:",
            "c:evil",
            "a*b",
            "a?b",
            "a|b",
            "a<b",
            "a>b",
            "a\"b",
            "\0",
            "a\0b",
            "a\nb",
            "a\rb",
            "a\tb",
            "\u{1b}[2J",
            "a\u{7f}",
            "a\u{9b}b",
            "\u{202e}txt.exe",
            "a\u{202d}b",
            "a\u{2066}b",
            "a\u{2069}b",
            "a\u{200e}b",
            "a\u{200f}b",
            "a\u{061c}b",
            "a\u{2028}b",
            "a\u{2029}b",
            "/etc/.",
            "~/.",
            "a/b/..",
            "..\\..\\..",
            "....",
            "...",
            "/tmp/..",
            "file:///..",
            "\\\\?\\C:",
            "\\\\server\\share\\",
            "a/\0",
            "a/../\u{0}",
            "x/ ",
            "x/.git",
            "x\\.git",
            "x/-n",
            "COM¹",
            "COM²",
            "lpt³.txt",
            "con.",
            "aux ",
        ]
        .map(str::to_owned)
        .to_vec();
        names.extend((0..10).flat_map(|n| [format!("COM{n}"), format!("lpt{n}.txt")]));
        names.extend(["x".repeat(256), "é".repeat(128), "x".repeat(4_096), format!("a/{}", "y".repeat(300))]);
        names
    }

    #[test]
    fn nasty_names_leave_nothing_anywhere() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("inner");
        std::fs::create_dir(&folder).unwrap();
        let names = nasty();
        assert!(names.len() > 100, "{}", names.len());
        for name in &names {
            assert!(export(&folder, name, b"evil").is_err(), "{name:?}");
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
    }

    #[test]
    fn paths_lose_their_folders_and_stay_inside() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("inner");
        std::fs::create_dir(&folder).unwrap();
        for (label, name) in [
            ("../../etc/passwd", "passwd"),
            ("/etc/shadow", "shadow"),
            ("..\\..\\evil.dll", "evil.dll"),
            ("C:\\Windows\\win.ini", "win.ini"),
            ("report.pdf", "report.pdf"),
            ("two words.txt", "two words.txt"),
            ("cafe\u{301}", "café"),
            ("console", "console"),
            ("com10", "com10"),
        ] {
            assert_eq!(export(&folder, label, b"x").unwrap(), folder.join(name), "{label}");
        }
        assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_there_is_neither_written_to_nor_through() {
        let outer = tempfile::tempdir().unwrap();
        let (folder, victim) = (outer.path().join("inner"), outer.path().join("victim"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&victim, "safe").unwrap();
        std::os::unix::fs::symlink(&victim, folder.join("link")).unwrap();
        std::os::unix::fs::symlink(outer.path().join("new"), folder.join("dangling")).unwrap();
        std::fs::write(folder.join("mine"), "mine").unwrap();
        for label in ["link", "dangling", "mine"] {
            assert!(matches!(export(&folder, label, b"evil"), Err(ExportError::Io { .. })), "{label}");
        }
        assert_eq!(std::fs::read_to_string(victim).unwrap(), "safe");
        assert_eq!(std::fs::read_to_string(folder.join("mine")).unwrap(), "mine");
        assert!(!outer.path().join("new").exists());
    }

    #[test]
    fn labels() {
        for good in ["agent-card", "docs/readme.md", "cafe\u{301}"] {
            assert!(label(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a\nb", "\u{202e}x", &"x".repeat(256)] {
            assert!(label(bad).is_err(), "{bad:?}");
        }
    }
}
