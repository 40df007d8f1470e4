//! How far a transfer is, on standard error: a bar that redraws itself on a terminal, else a line now and then.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};
use tidings_store::transfer::Totals;

/// Between two drawings of the bar, and between two lines.
const REDRAW: Duration = Duration::from_millis(100);
const LINE: Duration = Duration::from_secs(5);

const WIDTH: usize = 24;

pub(super) struct Progress {
    /// What is done: `exported`, `imported`.
    done: &'static str,
    /// Where it is at its end; 0 when that is not known.
    goal: u64,
    began: Instant,
    shown: Instant,
    terminal: bool,
}

impl Progress {
    pub(super) fn start(done: &'static str, goal: u64) -> Self {
        let now = Instant::now();
        Self { done, goal, began: now, shown: now, terminal: stderr().is_terminal() }
    }

    /// It has come to `position` of the goal.
    pub(super) fn show(&mut self, totals: &Totals, position: u64) {
        if self.shown.elapsed() < if self.terminal { REDRAW } else { LINE } {
            return;
        }
        self.shown = Instant::now();
        let so_far = totals.notifications + totals.tombstones;
        let (inboxes, per_second) = (totals.inboxes, so_far as f64 / self.began.elapsed().as_secs_f64());
        let place = place(position, self.goal, self.terminal);
        let line = format!(
            "{}: {place}{so_far} notifications of {inboxes} inboxes, {per_second:.0} a second",
            self.done
        );
        // The operator's terminal may be gone; the transfer goes on.
        let _ =
            if self.terminal { write!(stderr(), "\r\x1b[2K{line}") } else { writeln!(stderr(), "{line}") };
    }

    /// All is done; says it in its own words.
    pub(super) fn end_with(&self, said: &str) {
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        let _ = writeln!(
            stderr(),
            "{clear}{}: {said}, in {:.1} s",
            self.done,
            self.began.elapsed().as_secs_f64()
        );
    }

    /// All is done.
    pub(super) fn end(&self, totals: &Totals) {
        let Totals {
            inboxes,
            notifications,
            tombstones,
            devices,
            connections,
            revocations,
            idempotency_keys,
        } = totals;
        self.end_with(&format!(
            "{inboxes} inboxes, {notifications} notifications and {tombstones} deleted ones, {devices} devices with \
             {connections} connections, {revocations} users' ended sessions, {idempotency_keys} idempotency keys"
        ));
    }
}

/// The bar, or the percentage alone; nothing where the goal is not known.
fn place(position: u64, goal: u64, bar: bool) -> String {
    if goal == 0 {
        return String::new();
    }
    // While others write there may be more than there was at first.
    let part = (position as f64 / goal as f64).min(1.0);
    let percent = (part * 100.0) as u64;
    if !bar {
        return format!("{percent}%, ");
    }
    let filled = (part * WIDTH as f64) as usize;
    format!("[{}{}] {percent}%, ", "#".repeat(filled), "-".repeat(WIDTH - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_and_never_runs_over() {
        assert_eq!(place(0, 4, true), format!("[{}] 0%, ", "-".repeat(24)));
        assert_eq!(place(1, 4, true), format!("[{}{}] 25%, ", "#".repeat(6), "-".repeat(18)));
        assert_eq!(place(9, 4, true), format!("[{}] 100%, ", "#".repeat(24)));
        assert_eq!((place(9, 0, true), place(1, 3, false)), (String::new(), "33%, ".to_owned()));
    }
}
