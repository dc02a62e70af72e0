use std::{
    fs::{self, File},
    io::{self, BufWriter, IsTerminal, Write},
    path::Path,
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use p2pnode_simulator::{
    Log,
    scenario::{self, Options, Progress, Report, Scenario, Watcher, html},
};

use super::{RunArgs, child, condition, fail, load, pair, say, tell};

/// Without a terminal, a line so often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// On a terminal.
const REDRAW: Duration = Duration::from_millis(200);

pub(super) fn run(args: &RunArgs) -> ExitCode {
    let (scenario, seed) = match prepared(args) {
        Ok(prepared) => prepared,
        Err(error) => return fail(&error),
    };
    if args.repeat > 1 {
        return child::repeat(args, seed);
    }
    let log = match log_of(args) {
        Ok(log) => log,
        Err(error) => return fail(&error),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let heard = stop.clone();
    // A second Ctrl-C ends the program at once.
    let handler = ctrlc::set_handler(move || {
        if heard.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    if let Err(error) = handler {
        tell(&format!("Ctrl-C will end the run without a summary: {error}"));
    }
    let quiet = args.no_progress || args.json.as_deref() == Some(Path::new("-"));
    let shown = Arc::new(Mutex::new(Shown { began: Instant::now(), last: None, drawn: false }));
    let watch = (!quiet).then(|| watcher(&scenario, seed, &shown));
    let options = Options { seed: Some(seed), mode: args.time.into(), log, stop, watch, perturb: args.perturb };
    let outcome = scenario::run(&scenario, options);
    clear(&shown);
    match outcome {
        Ok(mut report) => {
            report.again = child::again(args, seed);
            finish(args, report)
        }
        Err(error) => {
            tell(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The scenario with what the command line changes, and the seed.
fn prepared(args: &RunArgs) -> Result<(Scenario, u64), String> {
    let mut set = args.set.iter().map(|text| pair(text)).collect::<Result<Vec<_>, _>>()?;
    set.extend(args.nodes.map(|nodes| ("nodes.count".to_owned(), nodes.to_string())));
    set.extend(args.duration.as_ref().map(|duration| ("duration".to_owned(), format!("{duration:?}"))));
    for text in &args.threshold {
        condition(text)?;
    }
    let scenario = load(&args.scenario, &set)?;
    let seed = match args.seed.as_deref() {
        None => scenario.seed,
        Some("random") => rand::random::<u32>().into(),
        Some(text) => text.parse().map_err(|_| format!("\"{text}\" is no seed: a number, or random"))?,
    };
    Ok((scenario, seed))
}

fn log_of(args: &RunArgs) -> Result<Log, String> {
    let Some(path) = &args.trace else { return Ok(Log::default()) };
    let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Log::new(Some(Box::new(BufWriter::new(file)))))
}

struct Shown {
    began: Instant,
    last: Option<Instant>,
    drawn: bool,
}

fn lock(shown: &Mutex<Shown>) -> std::sync::MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread of the simulation has no real clock: another one looks at it.
fn watcher(scenario: &Scenario, seed: u64, shown: &Arc<Mutex<Shown>>) -> Watcher {
    let (name, shown) = (scenario.name.clone(), shown.clone());
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Progress>(1);
    std::thread::spawn(move || {
        for progress in receiver {
            draw(&name, seed, &progress, &shown);
        }
    });
    // Whoever draws slowly sees less.
    Arc::new(move |progress| drop(sender.try_send(progress.clone())))
}

fn draw(name: &str, seed: u64, p: &Progress, shown: &Mutex<Shown>) {
    let terminal = io::stderr().is_terminal();
    let mut shown = lock(shown);
    let every = if terminal { REDRAW } else { LINE_EVERY };
    if shown.last.is_some_and(|last| last.elapsed() < every) {
        return;
    }
    shown.last = Some(Instant::now());
    let wall = shown.began.elapsed().as_secs_f64();
    let (at, until) = (p.at.as_secs_f64(), p.until.as_secs_f64());
    let share = (at / until.max(1e-9)).clamp(0.0, 1.0);
    let bar: String = (0..24).map(|step| if f64::from(step) < share * 24.0 { '█' } else { '░' }).collect();
    let mut lines = format!(
        "{name}  seed {seed}   {} nodes   virtual {at:.1} / {until:.1} s   wall {wall:.1} s ({:.1}x)   {bar} {:3.0} %\n  online \
         {}/{}   events {}",
        p.nodes,
        at / wall.max(1e-9),
        share * 100.0,
        p.up,
        p.nodes,
        p.events
    );
    if let (Some(delivered), Some((p50, p99))) = (p.delivered, p.delivery_ms) {
        lines.push_str(&format!("   delivered {:.1} %  p50 {p50:.0}  p99 {p99:.0} ms", delivered * 100.0));
    }
    if !p.note.is_empty() {
        lines.push_str(&format!("   ⚡ {}", p.note));
    }
    let mut out = io::stderr().lock();
    let text = if terminal {
        let back = if shown.drawn { "\x1b[2A" } else { "" };
        format!("{back}{}\n", lines.lines().map(|line| format!("\x1b[2K{line}")).collect::<Vec<_>>().join("\n"))
    } else {
        format!("{}\n", lines.replace('\n', " "))
    };
    shown.drawn = true;
    let _ = out.write_all(text.as_bytes());
}

/// The terminal is the summary's now.
fn clear(shown: &Mutex<Shown>) {
    if lock(shown).drawn && io::stderr().is_terminal() {
        let _ = io::stderr().write_all(b"\x1b[2A\x1b[0J");
    }
}

fn finish(args: &RunArgs, mut report: Report) -> ExitCode {
    for text in &args.threshold {
        match condition(text) {
            Ok((metric, expr)) => report.require(metric, expr.into()),
            Err(error) => return fail(&error),
        }
    }
    let mut wrote = Vec::new();
    let mut write = |path: &Path, text: String| match fs::write(path, text) {
        Ok(()) => wrote.push(path.display().to_string()),
        Err(error) => tell(&format!("error: {}: {error}", path.display())),
    };
    if let Some(folder) = &args.out {
        match fs::create_dir_all(folder) {
            Ok(()) => {
                write(&folder.join("report.json"), report.json().to_string());
                write(&folder.join("report.html"), html(&report));
            }
            Err(error) => tell(&format!("error: {}: {error}", folder.display())),
        }
    }
    if let Some(path) = &args.html {
        write(path, html(&report));
    }
    if let Some(path) = &args.junit {
        write(path, report.junit());
    }
    if let Some(path) = &args.markdown {
        write(path, report.markdown());
    }
    match args.json.as_deref() {
        Some(path) if path == Path::new("-") => drop(say(&format!("{}\n", report.json()))),
        Some(path) => write(path, report.json().to_string()),
        None => {}
    }
    if args.json.as_deref() != Some(Path::new("-")) {
        let written = if wrote.is_empty() { String::new() } else { format!("  written   {}\n", wrote.join("   ")) };
        let _ = say(&format!("{}{written}", report.text()));
    }
    ExitCode::from(report.exit())
}
