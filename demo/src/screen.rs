//! The terminal: one picture, drawn over and over in place. What was hidden is shown again when it is dropped.

use std::io::{IsTerminal as _, Write};

use crate::frame::Canvas;

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
/// What a terminal has that does not say.
const COLUMNS: usize = 80;
const ROWS: usize = 24;

/// What standard error can be drawn on; `None` where it is no terminal that can move its cursor.
pub(crate) fn canvas() -> Option<Canvas> {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if dumb || !std::io::stderr().is_terminal() {
        return None;
    }
    let coloured = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
    let or = |count: Option<u16>, known: usize| count.filter(|count| *count > 0).map_or(known, usize::from);
    Some(Canvas {
        columns: or(size.map(|size| size.ws_col), COLUMNS),
        // The cursor stands below the picture.
        rows: or(size.map(|size| size.ws_row), ROWS).saturating_sub(1).max(1),
        coloured,
    })
}

/// What is on the terminal.
pub(crate) struct Screen<W: Write> {
    terminal: W,
    /// How many lines the last picture had.
    drawn: usize,
    columns: usize,
}

impl<W: Write> Screen<W> {
    pub(crate) fn new(mut terminal: W) -> Self {
        let _ = write!(terminal, "{HIDE_CURSOR}");
        Self { terminal, drawn: 0, columns: 0 }
    }

    /// Draws `lines` where the last picture is. A terminal that takes nothing any more is no reason to stop.
    pub(crate) fn draw(&mut self, lines: &[String], canvas: Canvas) {
        let mut picture = String::new();
        // A narrower terminal has wrapped the old lines: where they begin is not known, so the new picture is below.
        let known = self.columns == 0 || canvas.columns >= self.columns;
        if self.drawn > 0 && known {
            picture.push_str(&format!("\x1b[{}A", self.drawn.min(canvas.rows)));
        }
        picture.push_str("\r\x1b[J");
        for line in lines {
            picture.push_str(line);
            picture.push_str("\r\n");
        }
        let _ = self.terminal.write_all(picture.as_bytes()).and_then(|()| self.terminal.flush());
        self.drawn = lines.len();
        self.columns = canvas.columns;
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        let _ = write!(self.terminal, "{SHOW_CURSOR}").and_then(|()| self.terminal.flush());
    }
}

/// Shows the cursor again, for an end at which nothing is dropped.
pub(crate) fn restore() {
    if canvas().is_some() {
        let _ = write!(std::io::stderr(), "{SHOW_CURSOR}\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANVAS: Canvas = Canvas { columns: 80, rows: 24, coloured: false };

    fn written(pictures: &[(&[&str], Canvas)]) -> String {
        let mut terminal = Vec::new();
        {
            let mut screen = Screen::new(&mut terminal);
            for (lines, canvas) in pictures {
                let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
                screen.draw(&lines, *canvas);
            }
        }
        String::from_utf8(terminal).expect("text")
    }

    #[test]
    fn a_picture_is_drawn_over_the_last_one_and_the_cursor_comes_back() {
        assert_eq!(
            written(&[(&["a", "b"], CANVAS), (&["c"], CANVAS), (&["d"], CANVAS)]),
            "\x1b[?25l\r\x1b[Ja\r\nb\r\n\x1b[2A\r\x1b[Jc\r\n\x1b[1A\r\x1b[Jd\r\n\x1b[?25h"
        );
    }

    #[test]
    fn a_smaller_terminal_is_drawn_on_anew() {
        let narrow = Canvas { columns: 40, ..CANVAS };
        let low = Canvas { rows: 1, ..CANVAS };
        assert_eq!(
            written(&[(&["a", "b"], CANVAS), (&["c"], narrow)]),
            "\x1b[?25l\r\x1b[Ja\r\nb\r\n\r\x1b[Jc\r\n\x1b[?25h"
        );
        assert_eq!(
            written(&[(&["a", "b"], CANVAS), (&["c"], low)]),
            "\x1b[?25l\r\x1b[Ja\r\nb\r\n\x1b[1A\r\x1b[Jc\r\n\x1b[?25h"
        );
    }
}
