//! The routes of the control socket.

use std::sync::Arc;

use axum::{
    Router,
    body::{self, Body},
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header::ACCEPT},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{delete, get, post},
};
use http_body_util::LengthLimitError;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{
    API, BODY, CLIENTS, Daemon, HEADER_API, HEADER_COMMAND, HEADER_TERMINAL, HEADER_TYPED, SEND,
    body::{Form, answer, refusal, response},
    query,
    run::{Command, Order},
    verbs,
};
use crate::{
    error::{CliError, exit},
    output::Terminal,
    signals::INTERRUPTED,
};

type Shared = State<Arc<Daemon>>;

/// An error with the status that fits it better than its exit code.
struct Refused(StatusCode, CliError);

impl From<CliError> for Refused {
    fn from(error: CliError) -> Self {
        Self(super::body::status_of(error.exit()), error)
    }
}

/// All routes, for a client that has a place.
pub(super) fn all(daemon: Arc<Daemon>) -> Router {
    let mut router = few_routes();
    for name in verbs::NAMES.iter().copied() {
        let run = move |State(daemon): Shared, request: Request| ordered(daemon, name, request);
        router = router.route(&format!("/v1/{name}"), post(run));
    }
    for (path, verb) in verbs::LOOKS.iter().copied() {
        let look = move |State(daemon): Shared, Query(pairs): Query<Vec<(String, String)>>, headers: HeaderMap| {
            looked(daemon, verb, pairs, headers)
        };
        router = router.route(&format!("/v1/{path}"), get(look));
    }
    // Last: it is for the routes that are there.
    finish(router.fallback(unknown).method_not_allowed_fallback(wrong_method), daemon)
}

/// For clients beyond [`CLIENTS`]: whether it lives, what cancels a command, what stops the node.
pub(super) fn few(daemon: Arc<Daemon>) -> Router {
    let healthz = async |State(daemon): Shared| {
        let mut about = daemon.about();
        about.busy = true;
        answer("healthz", StatusCode::OK, json!(about))
    };
    let refuse = async || {
        let message = format!("{CLIENTS} clients use this node already, and it takes no more");
        let error = CliError::new("busy", exit::REMOTE, message).retryable(true);
        let error = error.try_also(crate::output::render::again("--ephemeral", ""), "with a node of its own");
        refusal("busy", StatusCode::SERVICE_UNAVAILABLE, &error)
    };
    let router = Router::new()
        .route("/v1/healthz", get(healthz))
        .route("/v1/commands/{id}", delete(cancel))
        .route("/v1/shutdown", post(shutdown))
        .fallback(refuse);
    finish(router, daemon)
}

fn few_routes() -> Router<Arc<Daemon>> {
    let healthz = async |State(daemon): Shared| answer("healthz", StatusCode::OK, json!(daemon.about()));
    Router::new()
        .route("/v1", get(async || answer("routes", StatusCode::OK, json!({"api": API, "routes": list()}))))
        .route("/v1/healthz", get(healthz))
        .route("/v1/readyz", get(readyz))
        .route("/v1/commands/{id}", delete(cancel))
        .route("/v1/shutdown", post(shutdown))
}

fn finish(router: Router<Arc<Daemon>>, daemon: Arc<Daemon>) -> Router {
    router.layer(middleware::from_fn(same_version)).with_state(daemon)
}

/// `METHOD /path` of every route.
fn list() -> Vec<String> {
    let looks = verbs::LOOKS.iter().map(|(path, _)| format!("GET /v1/{path}"));
    let orders = verbs::NAMES.iter().map(|name| format!("POST /v1/{name}"));
    let own = ["GET /v1", "GET /v1/healthz", "GET /v1/readyz", "POST /v1/shutdown", "DELETE /v1/commands/{id}"];
    own.map(str::to_owned).into_iter().chain(looks).chain(orders).collect()
}

async fn same_version(request: Request, next: Next) -> Response {
    let version = request.headers().get(HEADER_API).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    match version {
        Some(version) if version != API => {
            let own = env!("CARGO_PKG_VERSION");
            let message = format!(
                "the running node is p2pnode {own}, whose control socket has version {API}; the client speaks version \
                 {}",
                crate::output::escape_line(&version)
            );
            let error = CliError::new("api_version", exit::CONFLICT, message)
                .maybe("p2pnode was updated while the node ran: restart it")
                .detail("api", API)
                .detail("version", own)
                .try_also("p2pnode down", "then start it again");
            refusal("api_version", StatusCode::UPGRADE_REQUIRED, &error)
        }
        _ => next.run(request).await,
    }
}

async fn readyz(State(daemon): Shared) -> Response {
    let listen: Vec<String> = daemon.node().listen_addrs().iter().map(ToString::to_string).collect();
    let status = if listen.is_empty() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    answer("readyz", status, json!({"ready": !listen.is_empty(), "listen": listen}))
}

async fn shutdown(State(daemon): Shared) -> Response {
    daemon.shut_down();
    answer("shutdown", StatusCode::OK, json!({"stopping": true, "pid": std::process::id()}))
}

/// What Ctrl-C is to a command in a terminal: it says its last words to its own client.
async fn cancel(State(daemon): Shared, Path(id): Path<String>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    let wanted = pairs.iter().find(|(name, _)| name == "exit").and_then(|(_, code)| code.parse().ok());
    if daemon.cancel(Some(&id), wanted.filter(|code| *code > 0).unwrap_or(INTERRUPTED)) {
        return answer("cancelled", StatusCode::OK, json!({"command": id}));
    }
    let message = format!("no command \"{}\" runs here", crate::output::escape_line(&id));
    refusal("cancelled", StatusCode::NOT_FOUND, &CliError::new("not_found", 5, message))
}

async fn unknown(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("there is no route {method} {}", crate::output::escape_line(path));
    let word = path.rsplit('/').next().unwrap_or_default();
    let near = p2pnode::near(word, verbs::NAMES.iter().copied());
    let error = CliError::new("not_found", 5, message);
    let error = near.first().into_iter().fold(error, |error, near| error.maybe(format!("did you mean /v1/{near}?")));
    refusal("not_found", StatusCode::NOT_FOUND, &error.try_also("GET /v1", "all routes"))
}

async fn wrong_method(request: Request) -> Response {
    let message = format!("{} does not take {}", crate::output::escape_line(request.uri().path()), request.method());
    let error = CliError::usage(message).try_also("GET /v1", "all routes");
    refusal("usage", StatusCode::METHOD_NOT_ALLOWED, &error)
}

async fn looked(daemon: Arc<Daemon>, verb: &'static str, pairs: Vec<(String, String)>, headers: HeaderMap) -> Response {
    run(&daemon, verb, query::options(pairs), &headers).await
}

async fn ordered(daemon: Arc<Daemon>, verb: &'static str, request: Request) -> Response {
    let (parts, content) = request.into_parts();
    match options(content).await {
        Ok(options) => run(&daemon, verb, options, &parts.headers).await,
        Err(Refused(status, error)) => refusal(verb, status, &error),
    }
}

/// The body: an object, or nothing at all for no options.
async fn options(content: Body) -> Result<Map<String, Value>, Refused> {
    let read = timeout(SEND, body::to_bytes(content, BODY)).await;
    let slow = |_| Refused(StatusCode::REQUEST_TIMEOUT, CliError::usage("the body did not come in time"));
    let bytes = read.map_err(slow)?.map_err(|error| {
        let message = format!("the body has more than {BODY} bytes");
        match std::error::Error::source(&error).is_some_and(|source| source.is::<LengthLimitError>()) {
            true => Refused(StatusCode::PAYLOAD_TOO_LARGE, CliError::new("too_large", exit::USAGE, message)),
            false => CliError::usage(format!("the body broke off: {error}")).into(),
        }
    })?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(options)) => Ok(options),
        Ok(_) => Err(CliError::usage("the body is no JSON object of options").into()),
        Err(error) => Err(CliError::usage(format!("the body is no JSON: {error}")).into()),
    }
}

async fn run(daemon: &Arc<Daemon>, name: &'static str, options: Map<String, Value>, headers: &HeaderMap) -> Response {
    let order = match order(name, options, headers) {
        Ok(order) => order,
        Err(error) => return Refused::from(error).into_response_for(name),
    };
    let form = Form::of(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default());
    match Command::start(daemon, order) {
        Some(command) => response(command, form).await,
        None => {
            refusal(name, StatusCode::CONFLICT, &CliError::new("conflict", exit::CONFLICT, "that command runs already"))
        }
    }
}

impl Refused {
    fn into_response_for(self, kind: &str) -> Response {
        refusal(kind, self.0, &self.1).into_response()
    }
}

fn order(name: &str, options: Map<String, Value>, headers: &HeaderMap) -> Result<Order, CliError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let wrong = |name: &str, error: serde_json::Error| CliError::usage(format!("header {name}: {error}"));
    let terminal = text(HEADER_TERMINAL).map(serde_json::from_str::<Terminal>).transpose();
    let terminal = terminal.map_err(|error| wrong(HEADER_TERMINAL, error))?;
    let typed = text(HEADER_TYPED).map(serde_json::from_str).transpose().map_err(|error| wrong(HEADER_TYPED, error))?;
    let (verb, common) = verbs::read(name, options, terminal.is_some())?;
    Ok(Order { verb, common, terminal, typed, id: text(HEADER_COMMAND).map(str::to_owned) })
}
