//! What people give: words, files, stdin.

use std::{fs::File, io::Read, path::Path};

use p2pnode::{Arguments, Value, value::from_json};

use crate::{
    args::{
        Verb, artifact,
        ask::Ask,
        call::{Call, Stdin},
        dht,
        given::Given,
        join::{Invite, InviteVerb},
        talk::{Broadcast, Emit},
        value::pair,
    },
    error::CliError,
    output::json::value_of,
};

/// More than this fits into no message (4 MiB of body).
const MOST: u64 = 4 * 1024 * 1024;

/// Reads what the words of a verb stand for: files, stdin, JSON. What was read is not read again, and what came over the
/// control socket is there already.
pub(crate) async fn read(verb: &mut Verb) -> Result<(), CliError> {
    match verb {
        Verb::Ask(args) => ask(args).await,
        Verb::Call(args) => call(args).await,
        Verb::Broadcast(args) => broadcast(args).await,
        Verb::Emit(args) => emit(args).await,
        Verb::Send(args) => words(&mut args.text, &mut args.read).await,
        Verb::Reply(args) => words(&mut args.text, &mut args.read).await,
        Verb::Artifact(artifact::Artifact { verb: artifact::Verb::Add(add) }) => bytes(&mut add.data).await,
        Verb::Dht(dht::Dht { verb: dht::Verb::Put { value, .. } }) => bytes(value).await,
        Verb::Join(args) => ticket(&mut args.ticket).await,
        Verb::Invite(Invite { verb: Some(InviteVerb::Inspect { ticket: given }), .. }) => ticket(given).await,
        _ => Ok(()),
    }
}

/// A ticket that is elsewhere.
async fn ticket(given: &mut Option<String>) -> Result<(), CliError> {
    *given = Some(crate::ticket::given(given.as_deref()).await?);
    Ok(())
}

/// The question and its context.
pub(crate) async fn ask(args: &mut Ask) -> Result<(), CliError> {
    if args.text.trim().is_empty() {
        args.text = text(args.word().unwrap_or_default()).await?;
    }
    let read = context(&std::mem::take(&mut args.context_words))?;
    args.context.extend(read.into_iter().map(|(name, value)| (name, Given::Value(value))));
    Ok(())
}

/// Everything given, from the command line and stdin.
pub(crate) async fn call(args: &mut Call) -> Result<(), CliError> {
    given(&mut args.args, &mut args.named)?;
    match args.stdin.take() {
        Some(how) => add(how, stdin().await?, &mut args.args, &mut args.named),
        None => Ok(()),
    }
}

/// A text for the ask handlers, or values for an endpoint.
pub(crate) async fn broadcast(args: &mut Broadcast) -> Result<(), CliError> {
    if let (None, [Given::Word(word)]) = (&args.endpoint, args.args.as_slice()) {
        args.args = vec![Given::Value(Value::from(text(word).await?))];
    }
    // Several words are no question; that is told where it is asked.
    if args.endpoint.is_some() { given(&mut args.args, &mut args.named) } else { Ok(()) }
}

/// The data of an event; `-` is stdin.
pub(crate) async fn emit(args: &mut Emit) -> Result<(), CliError> {
    let Some(Given::Word(word)) = &args.data else { return Ok(()) };
    let data = match word.as_str() {
        "-" => match String::from_utf8(stdin().await?) {
            Ok(text) => value(text.trim_end_matches('\n'))?,
            Err(bytes) => Value::Binary(bytes.into_bytes()),
        },
        word => value(word)?,
    };
    args.data = Some(Given::Value(data));
    Ok(())
}

/// The text of a message: `-` is stdin, `@` begins the name of a file. It is read once: what a file says may begin so, too.
pub(crate) async fn words(given: &mut String, read: &mut bool) -> Result<(), CliError> {
    if !std::mem::replace(read, true) {
        *given = match given.strip_prefix('@') {
            Some(path) => String::from_utf8(file(Path::new(path))?)
                .map_err(|_| CliError::usage(format!("{path} is not UTF-8 text")))?,
            None => return text(given).await.map(|text| *given = text),
        };
    }
    match given.trim().is_empty() {
        true => Err(CliError::usage("the text is empty")),
        false => Ok(()),
    }
}

/// A value of the DHT is text or bytes, and never JSON.
pub(crate) async fn bytes(given: &mut Given) -> Result<(), CliError> {
    let Given::Word(word) = given else { return Ok(()) };
    let data = match (word.as_str(), word.strip_prefix('@')) {
        ("-", _) => stdin().await?,
        (_, Some(path)) => file(Path::new(path))?,
        (word, None) => word.as_bytes().to_vec(),
    };
    *given = Given::Value(text_or_bytes(data));
    Ok(())
}

fn given(args: &mut [Given], named: &mut [(String, Given)]) -> Result<(), CliError> {
    for one in args.iter_mut().chain(named.iter_mut().map(|(_, one)| one)) {
        if let Given::Word(word) = one {
            *one = Given::Value(value(word)?);
        }
    }
    Ok(())
}

/// The value of something that was read.
pub(crate) fn value_in(given: &Given) -> Result<Value, CliError> {
    match given {
        Given::Value(value) => Ok(value.clone()),
        Given::Word(word) => Err(CliError::internal(format!("\"{word}\" was not read"))),
    }
}

/// The values of what was read.
pub(crate) fn arguments(args: &[Given], named: &[(String, Given)]) -> Result<Arguments, CliError> {
    let args = args.iter().map(value_in).collect::<Result<_, _>>()?;
    let named = named.iter().map(|(name, given)| Ok((name.clone(), value_in(given)?)));
    Ok(Arguments::new(args, named.collect::<Result<_, CliError>>()?))
}

/// Adds what came by stdin: bytes as one argument; a list as arguments by position, an object as arguments by name.
fn add(
    how: Stdin,
    data: Vec<u8>,
    positional: &mut Vec<Given>,
    named: &mut Vec<(String, Given)>,
) -> Result<(), CliError> {
    let value = match how {
        Stdin::Raw => {
            positional.push(Given::Value(Value::Binary(data)));
            return Ok(());
        }
        Stdin::Json => serde_json::from_slice(&data)
            .map(|json: serde_json::Value| from_json(&json))
            .map_err(|error| CliError::usage(format!("stdin is no JSON: {error}")))?,
        Stdin::Msgpack => value_of(&data).ok_or_else(|| CliError::usage("stdin is not one MessagePack value"))?,
    };
    match value {
        Value::Array(items) => positional.extend(items.into_iter().map(Given::Value)),
        Value::Map(entries) => {
            for (key, value) in entries {
                let key = key.as_str().ok_or_else(|| CliError::usage("stdin: names of arguments must be text"))?;
                named.push((key.to_owned(), Given::Value(value)));
            }
        }
        value => positional.push(Given::Value(value)),
    }
    Ok(())
}

/// A text; `-` reads it from stdin.
async fn text(given: &str) -> Result<String, CliError> {
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
fn context(given: &[String]) -> Result<Vec<(String, Value)>, CliError> {
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

    type Added = (Vec<Given>, Vec<(String, Given)>);

    fn added(how: Stdin, data: &[u8]) -> Result<Added, CliError> {
        let (mut positional, mut named) = (vec![Given::Value(0.into())], Vec::new());
        add(how, data.to_vec(), &mut positional, &mut named).map(|()| (positional, named))
    }

    fn values(values: impl IntoIterator<Item = Value>) -> Vec<Given> {
        values.into_iter().map(Given::Value).collect()
    }

    #[test]
    fn stdin_adds_arguments() {
        assert_eq!(added(Stdin::Json, b"[1, 2]").unwrap().0, values([0.into(), 1.into(), 2.into()]));
        assert_eq!(added(Stdin::Json, b"{\"a\": 1}").unwrap().1, [("a".to_owned(), Given::Value(1.into()))]);
        assert_eq!(added(Stdin::Json, b"\"x\"").unwrap().0, values([0.into(), "x".into()]));
        assert_eq!(added(Stdin::Raw, b"\xff").unwrap().0, values([0.into(), Value::Binary(vec![255])]));
        assert_eq!(added(Stdin::Msgpack, &[0x93, 1, 2, 3]).unwrap().0.len(), 4);
        for (how, data) in [(Stdin::Json, &b"{"[..]), (Stdin::Msgpack, &[0xc1]), (Stdin::Msgpack, &[0x81, 1, 2])] {
            assert_eq!(added(how, data).unwrap_err().exit(), 2);
        }
    }

    #[tokio::test]
    async fn empty_questions_are_refused() {
        assert_eq!(text(" \n").await.unwrap_err().exit(), 2);
        assert_eq!(text("hi").await.unwrap(), "hi");
    }
}
