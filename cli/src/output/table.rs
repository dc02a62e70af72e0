//! Tables without borders: two spaces between columns, a dim header, nothing wrapped.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::style::{Role, Style};

/// Between two columns.
const GAP: usize = 2;

/// A flexible column is not made narrower than this.
const NARROWEST: usize = 8;

/// How a column behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
    flexible: bool,
    /// Columns with a rank may go where there is no room, the greatest first.
    rank: Option<u8>,
}

impl Column {
    /// Always there, never shortened.
    pub(crate) const fn new(title: &'static str) -> Self {
        Self { title, right: false, flexible: false, rank: None }
    }

    /// Numbers.
    pub(crate) const fn right(mut self) -> Self {
        self.right = true;
        self
    }

    /// Shortened where there is no room.
    pub(crate) const fn flexible(mut self) -> Self {
        self.flexible = true;
        self
    }

    /// May go where there is no room; the greatest rank goes first.
    pub(crate) const fn optional(mut self, rank: u8) -> Self {
        self.rank = Some(rank);
        self
    }
}

/// Rows of cells under columns. Cells are escaped here.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<(String, Option<Role>)>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; cells may have a role.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (String, Option<Role>)>) {
        let clean = |(text, role): (String, Option<Role>)| (super::escape_line(&text).into_owned(), role);
        self.rows.push(cells.into_iter().map(clean).collect());
    }

    /// The table as text, lines without trailing space. `None` as width: as wide as it needs to be.
    pub(crate) fn render(&self, width: Option<usize>, style: Style, cut: &str) -> String {
        let shown = self.layout(width.unwrap_or(usize::MAX));
        let header = self.columns.iter().map(|column| (column.title.to_owned(), Some(Role::Dim))).collect();
        let lines = std::iter::once(&header).chain(&self.rows).map(|row| self.line(row, &shown, style, cut));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Which columns are shown, and how wide.
    fn layout(&self, width: usize) -> Vec<(usize, usize)> {
        let mut shown: Vec<(usize, usize)> = (0..self.columns.len()).map(|at| (at, self.natural(at))).collect();
        loop {
            let excess = total(&shown).saturating_sub(width);
            if excess == 0 || self.shrink(&mut shown, excess) {
                return shown;
            }
            let Some(at) = self.least_wanted(&shown) else { return shown };
            shown.remove(at);
            for (column, wide) in &mut shown {
                *wide = self.natural(*column);
            }
        }
    }

    /// The widest cell of a column, its title included.
    fn natural(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.width());
        cells.chain([self.columns[column].title.width()]).max().unwrap_or_default()
    }

    /// Takes the excess from flexible columns, the last one first. False: there is not enough to take. While there are
    /// columns that may go, only those are made narrower.
    fn shrink(&self, shown: &mut [(usize, usize)], mut excess: usize) -> bool {
        let more = self.least_wanted(shown).is_some();
        for (column, wide) in shown.iter_mut().rev() {
            let column = self.columns[*column];
            if column.flexible && (column.rank.is_some() || !more) {
                let taken = excess.min(wide.saturating_sub(NARROWEST));
                *wide -= taken;
                excess -= taken;
            }
        }
        excess == 0
    }

    fn least_wanted(&self, shown: &[(usize, usize)]) -> Option<usize> {
        let ranks = shown.iter().enumerate().filter_map(|(at, (column, _))| Some((self.columns[*column].rank?, at)));
        ranks.max().map(|(_, at)| at)
    }

    fn line(&self, row: &[(String, Option<Role>)], shown: &[(usize, usize)], style: Style, cut: &str) -> String {
        let mut line = String::new();
        let mut owed = 0;
        for (column, wide) in shown {
            let Some((text, role)) = row.get(*column) else { continue };
            let text = fit(text, *wide, cut);
            let pad = wide.saturating_sub(text.width());
            let (before, after) = if self.columns[*column].right { (pad, 0) } else { (0, pad) };
            if !text.is_empty() {
                line.push_str(&" ".repeat(owed + before));
                line.push_str(&role.map_or_else(|| text.clone(), |role| style.paint(role, &text)));
                owed = after + GAP;
            } else {
                owed += wide + GAP;
            }
        }
        line
    }
}

fn total(shown: &[(usize, usize)]) -> usize {
    shown.iter().map(|(_, wide)| wide + GAP).sum::<usize>().saturating_sub(GAP)
}

/// The text, or its beginning and the sign for "cut off".
fn fit(text: &str, width: usize, cut: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(cut.width());
    let mut used = 0;
    let kept = text.chars().take_while(|sign| {
        used += sign.width().unwrap_or_default();
        used <= room
    });
    kept.chain(cut.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEERS: [Column; 5] = [
        Column::new("NAME"),
        Column::new("STATE"),
        Column::new("RTT").right(),
        Column::new("SWARM").optional(1),
        Column::new("CAPABILITIES").flexible().optional(2),
    ];

    fn table() -> Table {
        let mut table = Table::new(&PEERS);
        let row = |cells: [&str; 5]| cells.map(|cell| (cell.to_owned(), None));
        table.row(row(["reviewer", "online", "2 ms", "garden", "code-review pytest"]));
        table.row(row(["日本", "offline", "113 ms", "garden", ""]));
        table
    }

    fn drawn(width: usize) -> String {
        table().render(Some(width), Style::plain(), "…")
    }

    #[test]
    fn wide_enough() {
        let expected = "\
NAME      STATE       RTT  SWARM   CAPABILITIES
reviewer  online     2 ms  garden  code-review pytest
日本      offline  113 ms  garden";
        assert_eq!(drawn(100), expected);
    }

    #[test]
    fn the_flexible_column_shrinks_first() {
        let expected = "\
NAME      STATE       RTT  SWARM   CAPABILI…
reviewer  online     2 ms  garden  code-rev…
日本      offline  113 ms  garden";
        assert_eq!(drawn(44), expected);
    }

    #[test]
    fn then_optional_columns_go() {
        let expected = "\
NAME      STATE       RTT  SWARM
reviewer  online     2 ms  garden
日本      offline  113 ms  garden";
        assert_eq!(drawn(40), expected);
        let expected = "\
NAME      STATE       RTT
reviewer  online     2 ms
日本      offline  113 ms";
        assert_eq!(drawn(26), expected);
        assert_eq!(drawn(5), expected, "nothing is wrapped, however narrow");
    }

    #[test]
    fn what_must_stay_is_made_narrower_last() {
        let columns = [Column::new("NAME").flexible(), Column::new("STATE"), Column::new("SWARM").optional(1)];
        let mut table = Table::new(&columns);
        table.row(["a-rather-long-name", "online", "garden"].map(|cell| (cell.to_owned(), None)));
        let drawn = |width| table.render(Some(width), Style::plain(), "…").lines().nth(1).map(str::to_owned);
        assert_eq!(drawn(33).as_deref(), Some("a-rather-long-name  online"));
        assert_eq!(drawn(20).as_deref(), Some("a-rather-lo…  online"));
    }

    #[test]
    fn foreign_cells_are_escaped() {
        let mut table = Table::new(&[Column::new("NAME")]);
        table.row([("a\u{1b}[2J\nb".to_owned(), None)]);
        let text = table.render(None, Style::plain(), "…");
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn colour_does_not_count_as_width() {
        let mut table = Table::new(&[Column::new("A"), Column::new("B")]);
        table.row([("x".to_owned(), Some(Role::Ok)), ("y".to_owned(), None)]);
        let text = table.render(None, Style::new(true), "…");
        assert!(text.ends_with("\u{1b}[32mx\u{1b}[0m  y"), "{text:?}");
    }
}
