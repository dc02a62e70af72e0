//! What people give: words, files, stdin.

use std::{fs::File, io::Read, path::Path};

use p2pnode::{Value, value::from_json};

use crate::{args::value::pair, error::CliError};

/// More than this fits into no message (4 MiB of body).
const MOST: u64 = 4 * 1024 * 1024;

/// A text; `-` reads it from stdin.
pub(crate) async fn text(given: &str) -> Result<String, CliError> {
    let text = match given {
        "-" => String::from_utf8(stdin().await?).map_err(|_| CliError::usage("stdin is not UTF-8 text"))?,
        given => given.to_owned(),
    };
    match text.trim().is_empty() {
        true => Err(CliError::usage("the text is empty")),
        false => Ok(text),
    }
}

/// All of stdin.
pub(crate) async fn stdin() -> Result<Vec<u8>, CliError> {
    // A thread of its own: a terminal may take as long as it likes, and Ctrl-C must not wait for it.
    let read = tokio::task::spawn_blocking(|| all("stdin", std::io::stdin().lock()));
    read.await.map_err(|error| CliError::internal(format!("reading stdin: {error}")))?
}

/// All of a file.
pub(crate) fn file(path: &Path) -> Result<Vec<u8>, CliError> {
    let name = path.display().to_string();
    File::open(path).map_err(|error| CliError::io(&name, &error)).and_then(|file| all(&name, file))
}

fn all(name: &str, from: impl Read) -> Result<Vec<u8>, CliError> {
    let mut data = Vec::new();
    from.take(MOST + 1).read_to_end(&mut data).map_err(|error| CliError::io(name, &error))?;
    match data.len() as u64 > MOST {
        true => Err(CliError::usage(format!("{name} is larger than {} MiB", MOST / 1024 / 1024))),
        false => Ok(data),
    }
}

/// A value: the bytes of a file after `@`, JSON if it parses as JSON, else text.
pub(crate) fn value(word: &str) -> Result<Value, CliError> {
    if let Some(path) = word.strip_prefix('@') {
        return file(Path::new(path)).map(Value::Binary);
    }
    Ok(serde_json::from_str(word).map_or_else(|_| Value::from(word), |json| from_json(&json)))
}

/// Context of a question: `KEY=VALUE`, `KEY=@FILE`, or `@FILE` under the file's name. Files that are text become text.
pub(crate) fn context(given: &[String]) -> Result<Vec<(String, Value)>, CliError> {
    given.iter().map(|word| context_of(word)).collect()
}

fn context_of(word: &str) -> Result<(String, Value), CliError> {
    if let Some(path) = word.strip_prefix('@') {
        let path = Path::new(path);
        let name = path.file_name().map_or_else(|| "file".to_owned(), |name| name.to_string_lossy().into_owned());
        return Ok((name, text_or_bytes(file(path)?)));
    }
    let (key, value) = pair(word).map_err(|error| CliError::usage(format!("--context {error} and not @FILE")))?;
    match value.strip_prefix('@') {
        Some(path) => Ok((key, text_or_bytes(file(Path::new(path))?))),
        None => Ok((key, Value::from(value))),
    }
}

fn text_or_bytes(data: Vec<u8>) -> Value {
    String::from_utf8(data).map_or_else(|error| Value::Binary(error.into_bytes()), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_or_text_or_files() {
        assert_eq!(value("2").unwrap(), Value::from(2));
        assert_eq!(value("-1.5").unwrap(), Value::F64(-1.5));
        assert_eq!(value("true").unwrap(), Value::Boolean(true));
        assert_eq!(value("hello").unwrap(), Value::from("hello"));
        assert_eq!(value("\"2\"").unwrap(), Value::from("2"));
        assert_eq!(value("[1, null]").unwrap(), Value::Array(vec![1.into(), Value::Nil]));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0, 255]).unwrap();
        assert_eq!(value(&format!("@{}", file.path().display())).unwrap(), Value::Binary(vec![0, 255]));
        assert_eq!(value("@/no/such/file").unwrap_err().exit(), 2);
    }

    #[test]
    fn context_from_words_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diff.patch");
        std::fs::write(&path, "+ one").unwrap();
        let path = path.display();
        let given = ["url=https://x/?a=b".to_owned(), format!("@{path}"), format!("d=@{path}")];
        let expected = [("url", "https://x/?a=b"), ("diff.patch", "+ one"), ("d", "+ one")];
        assert_eq!(context(&given).unwrap(), expected.map(|(key, value)| (key.to_owned(), Value::from(value))));
        assert_eq!(context(&["plain".to_owned()]).unwrap_err().exit(), 2);
    }

    #[tokio::test]
    async fn empty_questions_are_refused() {
        assert_eq!(text(" \n").await.unwrap_err().exit(), 2);
        assert_eq!(text("hi").await.unwrap(), "hi");
    }
}
