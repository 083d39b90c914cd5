//! Rows in columns, and times, for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::terminal::plain;
use zrecipe_language::report::printable;

/// Rows in columns.
pub fn align<R: AsRef<[String]>>(rows: &[R]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.as_ref().iter().map(|cell| plain(cell)).collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        row.iter().zip(&mut widths).for_each(|(cell, width)| *width = cell.chars().count().max(*width));
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Rows with one column shortened so that they fit into the width.
pub fn fit<const N: usize>(mut rows: Vec<[String; N]>, elastic: usize, width: Option<usize>) -> Vec<[String; N]> {
    /// Columns that stay of it.
    const LEAST: usize = 12;
    let Some(width) = width else { return rows };
    let widest = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let others: usize = (0..N).filter(|&at| at != elastic).map(|at| widest(at) + 2).sum();
    let room = width.saturating_sub(others).max(LEAST);
    for row in &mut rows {
        row[elastic] = printable(&row[elastic], room);
    }
    rows
}

/// A time for people.
pub fn duration(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..=59 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}
