//! A chart of a sweep, for a README.

use std::fmt::Write;

/// Draws `points` (parameter, metric) over the logarithm of the parameter, as an SVG that follows the colours of the page
/// it is on. The dashed line is the best straight line through them.
pub fn sweep_svg(x_title: &str, y_title: &str, points: &[(f64, f64)]) -> String {
    let (width, height, left, below) = (640.0, 320.0, 60.0, 48.0);
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.max(1e-9).log2(), *y)).collect();
    let (low, high) = logs.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), (x, _)| (a.min(*x), b.max(*x)));
    let top = logs.iter().map(|(_, y)| *y).fold(0.0, f64::max).max(1e-9) * 1.15;
    let span = (high - low).max(1e-9);
    let at = |(x, y): (f64, f64)| {
        (left + (width - left - 20.0) * ((x - low) / span), 16.0 + (height - below - 16.0) * (1.0 - y / top))
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{y_title} against \
         {x_title}\"><style>text{{font:13px system-ui,sans-serif;fill:#68727e}}.grid{{stroke:#68727e55}}.line{{fill:none;\
         stroke:#1f6feb;stroke-width:2}}.fit{{stroke:#b35900;stroke-dasharray:5 4}}circle{{fill:#1f6feb}}</style>"
    );
    for part in 0..=4 {
        let value = top * f64::from(part) / 4.0;
        let (x, y) = at((low, value));
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{value:.2}</text>",
            width - 20.0,
            x - 8.0,
            y + 4.0
        );
    }
    if let Some((slope, offset)) = fit(&logs) {
        let ((x1, y1), (x2, y2)) = (at((low, slope * low + offset)), at((high, slope * high + offset)));
        let _ = write!(out, "<line class=\"fit\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
    }
    let line: Vec<String> = logs.iter().map(|point| at(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = write!(out, "<polyline class=\"line\" points=\"{}\"/>", line.join(" "));
    for ((x, y), (value, measured)) in logs.iter().map(|point| at(*point)).zip(points) {
        let _ = write!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{value}: {measured:.3}</title></circle><text x=\"{x:.1}\" \
             y=\"{:.1}\" text-anchor=\"middle\">{value}</text>",
            height - below + 20.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x_title}, logarithmic; {y_title} upwards</text></svg>",
        f64::midpoint(left, width),
        height - 8.0
    );
    out
}

/// Slope and offset of the least squares.
fn fit(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n = points.len() as f64;
    if points.len() < 2 {
        return None;
    }
    let (x, y) = points.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let (above, below) =
        points.iter().fold((0.0, 0.0), |(a, b), (px, py)| (a + (px - x) * (py - y), b + (px - x).powi(2)));
    (below > 0.0).then(|| (above / below, y - above / below * x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_is_found() {
        let (slope, offset) = fit(&[(1.0, 3.0), (2.0, 5.0), (4.0, 9.0)]).expect("a line");
        assert!((slope - 2.0).abs() < 1e-9 && (offset - 1.0).abs() < 1e-9);
        let svg = sweep_svg("nodes", "hops", &[(100.0, 1.3), (1_000.0, 1.9)]);
        assert!(svg.contains("1000") && !svg.contains("NaN"), "{svg}");
    }
}
