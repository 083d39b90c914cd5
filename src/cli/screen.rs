//! The screen of `monitor`: what is on it and what keys do (no terminal is needed for either).

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Row, Table as Grid, TableState};

use crate::cli::overview::Table;

/// From this height on, services and another pane are shown at once.
const TALL: u16 = 20;
/// From this width on, all panes are.
const WIDE: u16 = 120;
/// So many columns are shown in full as long as there is space for them.
const FIRST: usize = 4;

/// What is on the screen.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    place: String,
    colour: bool,
    /// What has been done last, or what is wrong.
    pub said: String,
    tables: [Table; 4],
    filter: String,
    mode: Mode,
    /// Which of the tables has the keys.
    pane: usize,
    /// Which of its rows.
    row: usize,
}

/// What keys mean at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Mode {
    /// Moving about.
    #[default]
    Watching,
    /// The filter is typed.
    Filtering,
    /// Whether to stop an instance: its host and its service.
    Asking(String, String),
}

/// What a key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// To go.
    Quit,
    /// To stop the instance of this name.
    Shutdown(String),
}

impl Screen {
    /// A screen about a broker, with colours or without.
    pub fn new(place: String, colour: bool) -> Self {
        Self { place, colour, ..Self::default() }
    }

    /// Shows something newer. The row that is marked stays marked, wherever it is now.
    pub fn show(&mut self, tables: [Table; 4]) {
        let marked = self.rows(self.pane).get(self.row).map(|row| row[..2.min(row.len())].to_vec());
        self.tables = tables;
        let rows = self.rows(self.pane);
        let again = marked.and_then(|marked| rows.iter().position(|row| row.starts_with(&marked)));
        self.row = again.unwrap_or(self.row).min(rows.len().saturating_sub(1));
    }

    /// The rows of a table that pass the filter.
    fn rows(&self, pane: usize) -> Vec<&Vec<String>> {
        let filter = self.filter.to_lowercase();
        let passes = |row: &&Vec<String>| row.iter().any(|cell| cell.to_lowercase().contains(&filter));
        self.tables[pane].rows.iter().filter(passes).collect()
    }

    /// Takes a key.
    pub fn press(&mut self, key: KeyEvent) -> Option<Wish> {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Some(Wish::Quit);
        }
        match std::mem::take(&mut self.mode) {
            Mode::Asking(host, service) => {
                if matches!(key.code, KeyCode::Char('y' | 'Y')) {
                    return Some(Wish::Shutdown(host));
                }
                self.said = format!("{service} on {host} keeps running");
            }
            Mode::Filtering => {
                self.mode = Mode::Filtering;
                match key.code {
                    KeyCode::Enter => self.mode = Mode::Watching,
                    KeyCode::Esc => (self.mode, self.filter) = (Mode::Watching, String::new()),
                    KeyCode::Backspace => _ = self.filter.pop(),
                    KeyCode::Char(letter) => self.filter.push(letter),
                    _ => {}
                }
                self.row = 0;
            }
            Mode::Watching => return self.move_about(key.code),
        }
        None
    }

    fn move_about(&mut self, key: KeyCode) -> Option<Wish> {
        let last = self.rows(self.pane).len().saturating_sub(1);
        let count = self.tables.len();
        match key {
            KeyCode::Char('q') => return Some(Wish::Quit),
            KeyCode::Esc => (self.filter, self.said, self.row) = (String::new(), String::new(), 0),
            KeyCode::Char('/') => self.mode = Mode::Filtering,
            KeyCode::Tab | KeyCode::Right => (self.pane, self.row) = ((self.pane + 1) % count, 0),
            KeyCode::BackTab | KeyCode::Left => (self.pane, self.row) = ((self.pane + count - 1) % count, 0),
            KeyCode::Down | KeyCode::Char('j') => self.row = (self.row + 1).min(last),
            KeyCode::Up | KeyCode::Char('k') => self.row = self.row.saturating_sub(1),
            KeyCode::PageDown => self.row = (self.row + 10).min(last),
            KeyCode::PageUp => self.row = self.row.saturating_sub(10),
            KeyCode::Home => self.row = 0,
            KeyCode::End => self.row = last,
            KeyCode::Char('s') if self.pane == 0 => match self.rows(0).get(self.row).map(|row| row.as_slice()) {
                Some([service, host, ..]) => self.mode = Mode::Asking(host.clone(), service.clone()),
                _ => "no service is selected".clone_into(&mut self.said),
            },
            KeyCode::Char('s') => {
                "to stop a service, select it in the table of services: press tab".clone_into(&mut self.said)
            }
            _ => {}
        }
        None
    }

    /// Draws everything, in whatever space there is.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
        let bold = Style::new().add_modifier(Modifier::BOLD);
        // Nobody is to go back to bed because of a broker that could not be asked.
        let known = |pane: usize, count: i64| match self.tables[pane].is_unknown {
            true => "?".to_owned(),
            false => count.to_string(),
        };
        let sum = |pane: usize| {
            let counts = self.tables[pane].rows.iter().filter_map(|row| row.get(1)?.parse::<i64>().ok());
            known(pane, counts.sum())
        };
        let services = known(0, i64::try_from(self.tables[0].rows.len()).unwrap_or(i64::MAX));
        let one = |count: String, what: &str| format!("{count} {what}{}", if count == "1" { "" } else { "s" });
        let counts = [one(services, "service"), one(sum(1), "message"), one(sum(2), "dead letter")].join("  ");
        let counts = format!("{counts}  {}", self.place);
        frame.render_widget(Line::styled(counts, bold), head);
        let others = |pane: usize| if pane == 0 { 1 } else { pane };
        if body.height < TALL {
            self.pane(frame, body, self.pane);
        } else {
            let [above, below] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).spacing(1).areas(body);
            self.pane(frame, above, 0);
            if body.width < WIDE {
                self.pane(frame, below, others(self.pane));
            } else {
                let columns: [Rect; 3] = Layout::horizontal([Constraint::Fill(1); 3]).spacing(2).areas(below);
                (1..).zip(columns).for_each(|(pane, area)| self.pane(frame, area, pane));
            }
        }
        frame.render_widget(self.foot(), foot);
    }

    fn foot(&self) -> Line<'_> {
        let text = match &self.mode {
            Mode::Asking(host, service) => {
                let warning = if self.colour { Style::new().fg(Color::Red) } else { Style::new() };
                let question = format!("stop {service} on {host}? It finishes its current messages. y/n");
                return Line::styled(question, warning.add_modifier(Modifier::BOLD));
            }
            Mode::Filtering => format!("/{}_  enter keeps the filter, esc clears it", self.filter),
            Mode::Watching if !self.said.is_empty() => format!("{}  (esc: keys)", self.said),
            Mode::Watching => {
                "q quit  / filter  tab next table  up/down select  s stop the selected service".to_owned()
            }
        };
        let filter = match &self.mode {
            Mode::Watching if !self.filter.is_empty() => format!("/{} (esc clears it)  ", self.filter),
            _ => String::new(),
        };
        Line::raw(filter + &text)
    }

    fn pane(&self, frame: &mut Frame<'_>, area: Rect, pane: usize) {
        let (table, rows) = (&self.tables[pane], self.rows(pane));
        let is_chosen = pane == self.pane;
        let mut head = Style::new().add_modifier(Modifier::UNDERLINED);
        if is_chosen {
            head = head.add_modifier(Modifier::BOLD);
        }
        let mut titles: Vec<String> = table.head.iter().map(|head| (*head).to_owned()).collect();
        if let Some(first) = titles.first_mut().filter(|_| is_chosen) {
            first.insert_str(0, "> ");
        }
        let widths = titles.iter().enumerate().map(|(column, title)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).chain([title]);
            let width = cells.map(|cell| cell.chars().count()).max().unwrap_or_default();
            let width = u16::try_from(width).unwrap_or(u16::MAX);
            // What is first is needed most.
            if column < FIRST { Constraint::Length(width) } else { Constraint::Max(width) }
        });
        let widths: Vec<Constraint> = widths.collect();
        let lines = rows.iter().map(|row| {
            let is_bad = pane == 2 || table.bad.contains(*row);
            let style = if is_bad && self.colour { Style::new().fg(Color::Red) } else { Style::new() };
            Row::new(row.iter().map(String::as_str)).style(style)
        });
        let marked = Style::new().add_modifier(Modifier::REVERSED);
        let grid = Grid::new(lines, widths).header(Row::new(titles).style(head)).column_spacing(2);
        let grid = grid.row_highlight_style(marked);
        let mut state = TableState::new();
        state.select((is_chosen && !rows.is_empty()).then_some(self.row));
        frame.render_stateful_widget(grid, area, &mut state);
        if rows.is_empty() {
            let nothing =
                if self.filter.is_empty() { table.nothing.clone() } else { "no row matches the filter".to_owned() };
            let [_, line] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
            frame.render_widget(Line::raw(nothing), line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn table(title: &'static str, head: &[&'static str], rows: &[&[&str]]) -> Table {
        let rows = rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect());
        let nothing = format!("no {title}");
        Table { title, head: head.to_vec(), rows: rows.collect(), bad: BTreeSet::new(), is_unknown: false, nothing }
    }

    fn screen() -> Screen {
        let mut screen = Screen::new("rabbit:5672".to_owned(), false);
        screen.show(newest("idle"));
        screen
    }

    fn newest(state: &str) -> [Table; 4] {
        [
            table(
                "services",
                &["service", "host", "state", "busy"],
                &[&["Dispatcher", "a.1", "idle", "0%"], &["Runner", "b.2", state, "40%"]],
            ),
            table("queues", &["queue", "messages"], &[&["images", "12"], &["index", "3"]]),
            table("dead letters", &["dead letters in", "messages"], &[&["dlq.images", "2"]]),
            table("runs", &["run", "state"], &[]),
        ]
    }

    fn drawn(screen: &Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| screen.draw(frame)).expect("is drawn");
        let buffer = terminal.backend().buffer();
        let line = |y: u16| {
            let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
            line.trim_end().to_owned()
        };
        (0..height).map(line).collect::<Vec<_>>().join("\n")
    }

    fn press(screen: &mut Screen, keys: &str) -> Option<Wish> {
        let code = |letter: char| match letter {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\u{1b}' => KeyCode::Esc,
            '\u{8}' => KeyCode::Backspace,
            letter => KeyCode::Char(letter),
        };
        keys.chars().filter_map(|letter| screen.press(KeyEvent::new(code(letter), KeyModifiers::NONE))).last()
    }

    #[test]
    fn everything_has_its_place_in_whatever_space_there_is() {
        let screen = screen();
        insta::assert_snapshot!("wide", drawn(&screen, 130, 24));
        insta::assert_snapshot!("narrow", drawn(&screen, 80, 24));
        insta::assert_snapshot!("small", drawn(&screen, 60, 8));
        let mut filtered = screen.clone();
        press(&mut filtered, "/zzz");
        insta::assert_snapshot!("filtered", drawn(&filtered, 40, 8));
        for (width, height) in [(1, 1), (3, 2), (10, 3), (500, 100)] {
            drawn(&screen, width, height);
        }
    }

    #[test]
    fn what_nobody_could_look_at_is_not_nothing() {
        let mut screen = screen();
        let mut tables = newest("idle");
        for table in &mut tables {
            table.is_unknown = true;
            table.nothing = format!("{}: unknown", table.title);
        }
        for pane in [1, 2] {
            tables[pane].rows.clear();
        }
        screen.show(tables);
        let drawn = drawn(&screen, 130, 24);
        for said in ["? services  ? messages  ? dead letters", "dead letters: unknown", "queues: unknown"] {
            assert!(drawn.contains(said), "{said}:\n{drawn}");
        }
    }

    #[test]
    fn a_filter_holds_for_all_tables() {
        let mut screen = screen();
        for (keys, shown, hidden) in [
            ("/ima", "images", "Runner"),
            ("\u{8}\u{8}\u{8}RUN", "Runner", "Dispatcher"),
            ("\n", "/RUN (esc clears it)", "Dispatcher"),
            ("/zzz", "no row matches the filter", "Runner"),
            ("\u{1b}", "Dispatcher", "no row matches"),
        ] {
            assert_eq!(press(&mut screen, keys), None, "{keys}");
            let drawn = drawn(&screen, 130, 24);
            assert!(drawn.contains(shown) && !drawn.contains(hidden), "{keys}:\n{drawn}");
        }
    }

    #[test]
    fn services_are_stopped_after_asking() {
        for (keys, said, wish) in [
            ("s", "stop Dispatcher on a.1?", None),
            ("js", "stop Runner on b.2?", None),
            ("jjjs", "stop Runner on b.2?", None),
            ("sn", "Dispatcher on a.1 keeps running", None),
            ("s\n", "Dispatcher on a.1 keeps running", None),
            ("jsy", "q quit", Some(Wish::Shutdown("b.2".to_owned()))),
            ("/run\nsy", "", Some(Wish::Shutdown("b.2".to_owned()))),
            ("/none\ns", "no service is selected", None),
            ("\ts", "to stop a service, select it in the table of services", None),
            ("q", "", Some(Wish::Quit)),
        ] {
            let mut screen = screen();
            assert_eq!(press(&mut screen, keys), wish, "{keys:?}");
            let drawn = drawn(&screen, 100, 24);
            assert!(drawn.contains(said), "{keys:?}:\n{drawn}");
        }
    }

    #[test]
    fn the_marked_row_stays_marked() {
        let mut screen = screen();
        press(&mut screen, "j");
        let mut tables = newest("processing");
        tables[0].rows.insert(0, ["Archiver", "c.3", "idle", "0%"].map(str::to_owned).to_vec());
        screen.show(tables);
        press(&mut screen, "s");
        assert!(drawn(&screen, 100, 24).contains("stop Runner on b.2?"));
    }
}
