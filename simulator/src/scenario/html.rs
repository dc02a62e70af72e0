//! A report as one file that opens from disk: no script, no request.

use std::fmt::Write;

use super::report::{Band, Outcome, Report, escape, number, size};

const STYLE: &str = include_str!("report.css");

/// Width and height of a chart, in units of its own.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
/// Room for the numbers left of it and below it.
const LEFT: f64 = 84.0;
const BELOW: f64 = 24.0;
const ABOVE: f64 = 14.0;
/// Below the bars of a histogram, at most.
const LABELS: usize = 12;

/// Rows shown of a table of points; the JSON has them all.
const ROWS: usize = 60;

struct Line<'a> {
    name: &'a str,
    class: &'a str,
    points: Vec<(f64, f64)>,
}

/// The report of a run.
pub fn html(report: &Report) -> String {
    let mut out = String::new();
    let title = escape(&format!("{} · seed {}", report.scenario, report.seed));
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head><body>\n<main>\n"
    );
    head(&mut out, report);
    thresholds(&mut out, report);
    metrics(&mut out, report);
    over_time(&mut out, report);
    distribution(&mut out, report, "gossip.delivery_ms", "How long messages took", "ms");
    distribution(&mut out, report, "ask.last_reply_ms", "How long asks took, to the last reply", "ms");
    histogram(&mut out, report, "gossip.hops", "Hops of messages");
    histogram(&mut out, report, "dht.lookup_hops", "Hops of look-ups");
    histogram(&mut out, report, "node.connections", "Connections of nodes at the end");
    protocols(&mut out, report);
    let _ = writeln!(
        out,
        "<p class=\"foot\">Run it again: <code>{}</code></p>\n</main></body></html>",
        escape(&report.again)
    );
    out
}

fn head(out: &mut String, report: &Report) {
    let digest = report.digest.as_deref().unwrap_or("none: the wall clock");
    let how = match report.outcome {
        Outcome::Done => "",
        Outcome::Stopped => "<p class=\"missed\">Stopped before its end.</p>",
        Outcome::Aborted => "<p class=\"missed\">Ended early, for a threshold.</p>",
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let _ = writeln!(
        out,
        "<h1>{}</h1><p>{}</p>{how}<dl><div><dt>seed</dt><dd>{}</dd></div><div><dt>nodes</dt><dd>{}</dd></div><div><dt>\
         virtual</dt><dd>{:.0} s</dd></div><div><dt>wall</dt><dd>{:.1} s</dd></div><div><dt>machine</dt><dd>{} {}, {cores} \
         cores</dd></div><div class=\"wide\"><dt>digest</dt><dd><code>{digest}</code></dd></div></dl>",
        escape(&report.scenario),
        escape(&report.description),
        report.seed,
        report.nodes,
        report.virtual_s,
        report.wall_s,
        std::env::consts::OS,
        std::env::consts::ARCH,
    );
}

fn thresholds(out: &mut String, report: &Report) {
    if report.verdicts.is_empty() {
        return;
    }
    let passed = report.verdicts.iter().filter(|verdict| verdict.pass).count();
    let _ = write!(
        out,
        "<h2>Thresholds: {passed} of {} hold</h2><div class=\"scroll\"><table><thead><tr><th></th><th class=\"of\">metric</th><th class=\"of\">must \
         be</th><th>is</th></tr></thead><tbody>",
        report.verdicts.len()
    );
    for v in &report.verdicts {
        let (class, mark) = if v.pass { ("met", "✓") } else { ("missed", "✗") };
        let value = v.value.map_or_else(|| "not measured".to_owned(), number);
        let _ = write!(
            out,
            "<tr class=\"{class}\"><td>{mark}</td><td>{}</td><td>{}</td><td class=\"n\">{value}</td></tr>",
            escape(&v.metric),
            escape(&v.expr)
        );
    }
    out.push_str("</tbody></table></div>\n");
}

fn metrics(out: &mut String, report: &Report) {
    let rows = report.rows();
    if rows.is_empty() {
        return;
    }
    let rows = rows.into_iter().map(|(title, s)| {
        let numbers = [s.n as f64, s.avg, s.p50, s.p90, s.p95, s.p99, s.max];
        (title.to_owned(), numbers.map(number).to_vec())
    });
    out.push_str("<h2>Measured</h2>");
    table(out, &["", "n", "avg", "p50", "p90", "p95", "p99", "max"], rows);
}

/// A table whose first column says what the others are.
fn table(out: &mut String, head: &[&str], rows: impl Iterator<Item = (String, Vec<String>)>) {
    out.push_str("<div class=\"scroll\"><table><thead><tr>");
    for title in head {
        let _ = write!(out, "<th>{title}</th>");
    }
    out.push_str("</tr></thead><tbody>");
    for (name, cells) in rows {
        let _ = write!(out, "<tr><td>{}</td>", escape(&name));
        for cell in cells {
            let _ = write!(out, "<td class=\"n\">{}</td>", escape(&cell));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>\n");
}

/// The numbers of a chart, for those who do not see it, and to copy.
fn numbers(out: &mut String, head: &[&str], rows: Vec<Vec<f64>>) {
    let step = rows.len().div_ceil(ROWS).max(1);
    out.push_str("<details><summary>Numbers</summary>");
    let rows = rows.into_iter().step_by(step).map(|row| {
        let mut cells = row.into_iter().map(number);
        (cells.next().unwrap_or_default(), cells.collect())
    });
    table(out, head, rows);
    out.push_str("</details>\n");
}

fn over_time(out: &mut String, report: &Report) {
    if report.points.len() < 2 {
        return;
    }
    let line = |name, class, value: &dyn Fn(&super::Point) -> Option<f64>| Line {
        name,
        class,
        points: report.points.iter().filter_map(|p| Some((p.at_s, value(p)?))).collect(),
    };
    let times = [
        line("p50", "a", &|p| p.delivery_ms.map(|t| t[0])),
        line("p95", "b", &|p| p.delivery_ms.map(|t| t[1])),
        line("p99", "c", &|p| p.delivery_ms.map(|t| t[2])),
    ];
    if times[0].points.len() > 1 {
        out.push_str("<h2>Times of messages, second by second</h2>");
        chart(out, "ms", "s", &times, &report.bands);
        let rows = report.points.iter().filter_map(|p| p.delivery_ms.map(|t| vec![p.at_s, t[0], t[1], t[2]]));
        numbers(out, &["s", "p50 ms", "p95 ms", "p99 ms"], rows.collect());
    }
    out.push_str("<h2>Nodes that are up, and their connections</h2>");
    let up =
        [line("up", "a", &|p| Some(p.up as f64)), line("connections per node", "b", &|p| Some(p.connections_per_node))];
    chart(out, "", "s", &up, &report.bands);
    let rows = report.points.iter().map(|p| vec![p.at_s, p.up as f64, p.connections_per_node]);
    numbers(out, &["s", "up", "connections per node"], rows.collect());
    out.push_str("<h2>Sent per node and second</h2>");
    let kilobytes = |p: &super::Point| p.bytes_per_node_s / 1e3;
    chart(out, "kB/s", "s", &[line("sent", "a", &|p| Some(kilobytes(p)))], &report.bands);
    numbers(out, &["s", "kB/s"], report.points.iter().map(|p| vec![p.at_s, kilobytes(p)]).collect());
}

/// Shares of samples up to each value.
fn distribution(out: &mut String, report: &Report, metric: &str, title: &str, unit: &str) {
    let mut samples = report.metrics.samples(metric).to_vec();
    samples.retain(|value| value.is_finite());
    if samples.len() < 5 {
        return;
    }
    samples.sort_by(f64::total_cmp);
    let points: Vec<(f64, f64)> = (0..=100)
        .map(|percent| {
            let at = ((percent * (samples.len() - 1)) as f64 / 100.0).round() as usize;
            (samples[at], percent as f64)
        })
        .collect();
    let rows = points.iter().step_by(5).map(|(value, percent)| vec![*percent, *value]).collect();
    let _ = write!(out, "<h2>{title}</h2>");
    chart(out, "%", unit, &[Line { name: "so many took at most", class: "a", points }], &[]);
    numbers(out, &["%", unit], rows);
}

/// How often each whole number came.
fn histogram(out: &mut String, report: &Report, metric: &str, title: &str) {
    let samples = report.metrics.samples(metric);
    let most = samples.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
    if samples.is_empty() || most > 200.0 {
        return;
    }
    let mut counts = vec![0_usize; most as usize + 1];
    for value in samples.iter().filter(|value| value.is_finite()) {
        counts[value.max(0.0) as usize] += 1;
    }
    let top = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
    let _ = write!(out, "<h2>{title}</h2>{}", open_chart(title));
    heights(out, top, "");
    let step = (WIDTH - LEFT) / counts.len() as f64;
    for value in (0..counts.len()).step_by(counts.len().div_ceil(LABELS)) {
        below(out, LEFT + (value as f64 + 0.5) * step, "middle", &value.to_string());
    }
    for (value, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (*count as f64 / top) * HEIGHT;
        let _ = write!(
            out,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{value}: \
             {count}</title></rect>",
            LEFT + value as f64 * step + step * 0.1,
            ABOVE + HEIGHT - height,
            step * 0.8
        );
    }
    out.push_str("</svg>");
    let rows = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    numbers(out, &["value", "how often"], rows.map(|(value, count)| vec![value as f64, *count as f64]).collect());
}

fn protocols(out: &mut String, report: &Report) {
    if report.protocols.is_empty() {
        return;
    }
    let all: u64 = report.protocols.iter().map(|(_, traffic)| traffic.bytes).sum();
    let _ = write!(out, "<h2>What was sent: {}</h2>", size(all));
    let rows = report.protocols.iter().map(|(name, traffic)| {
        let share = traffic.bytes as f64 * 100.0 / all.max(1) as f64;
        (name.clone(), vec![size(traffic.bytes), format!("{share:.1} %"), traffic.writes.to_string()])
    });
    table(out, &["protocol", "bytes", "share", "writes"], rows);
}

fn open_chart(title: &str) -> String {
    let (width, height) = (WIDTH + 8.0, ABOVE + HEIGHT + BELOW);
    format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">", escape(title))
}

/// A number that is easily read, at least as large.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    steps.iter().map(|step| step * power).find(|nice| *nice >= value * 0.999_999).unwrap_or(value)
}

/// Lines at four heights up to `top`, and what they are.
fn heights(out: &mut String, top: f64, unit: &str) {
    for part in 0..=4 {
        let share = f64::from(part) / 4.0;
        let at = ABOVE + HEIGHT * (1.0 - share);
        let unit = if part == 4 { unit } else { "" };
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"y\" x=\"{:.1}\" \
             y=\"{:.1}\">{} {unit}</text>",
            LEFT - 6.0,
            at + 4.0,
            number(top * share)
        );
    }
}

/// Values from `from` to `to` below the chart.
fn widths(out: &mut String, (from, to): (f64, f64), unit: &str) {
    for part in 0..=4 {
        let share = f64::from(part) / 4.0;
        let (unit, anchor) = if part == 4 { (unit, "end") } else { ("", "middle") };
        let value = number(from + (to - from) * share);
        below(out, LEFT + (WIDTH - LEFT) * share, anchor, &format!("{value} {unit}"));
    }
}

fn below(out: &mut String, x: f64, anchor: &str, text: &str) {
    let y = ABOVE + HEIGHT + 18.0;
    let _ = write!(out, "<text style=\"text-anchor:{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}

fn chart(out: &mut String, y_unit: &str, x_unit: &str, lines: &[Line<'_>], bands: &[Band]) {
    let all = || lines.iter().flat_map(|line| line.points.iter()).filter(|(_, y)| y.is_finite());
    let x = all().fold((f64::INFINITY, 0.0_f64), |(min, max), (x, _)| (min.min(*x), max.max(*x)));
    let top = nice(all().map(|(_, y)| *y).fold(0.0, f64::max).max(1e-9));
    let from = if bands.is_empty() && x_unit != "s" { x.0 } else { 0.0 };
    let width = (x.1 - from).max(1e-9);
    let at_x = |value: f64| LEFT + (WIDTH - LEFT) * ((value - from) / width).clamp(0.0, 1.0);
    let at_y = |value: f64| ABOVE + HEIGHT * (1.0 - (value / top).clamp(0.0, 1.0));
    out.push_str(&open_chart(&lines.iter().map(|line| line.name).collect::<Vec<_>>().join(", ")));
    for band in bands {
        let (from, to) = (at_x(band.from_s), at_x(band.to_s.unwrap_or(x.1)));
        let _ = write!(
            out,
            "<rect class=\"band\" x=\"{from:.1}\" y=\"{ABOVE}\" width=\"{:.1}\" height=\"{HEIGHT}\"><title>{}</title></rect>",
            (to - from).max(1.0),
            escape(&band.text)
        );
    }
    heights(out, top, y_unit);
    widths(out, (from, x.1), x_unit);
    for line in lines {
        let points = line.points.iter().filter(|(_, y)| y.is_finite());
        let points: Vec<String> = points.map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y))).collect();
        let _ = write!(out, "<polyline class=\"line {}\" points=\"{}\"/>", line.class, points.join(" "));
    }
    out.push_str("</svg><p class=\"legend\">");
    for line in lines {
        let _ = write!(out, "<span class=\"{}\">{}</span> ", line.class, line.name);
    }
    for band in bands {
        let to = band.to_s.map_or_else(|| "the end".to_owned(), |to| format!("{} s", number(to)));
        let _ = write!(out, "<span class=\"during\">{}: {} s to {to}</span> ", escape(&band.text), number(band.from_s));
    }
    out.push_str("</p>\n");
}
