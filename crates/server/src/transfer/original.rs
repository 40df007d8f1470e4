use super::progress::Progress;
use std::fmt::Write as _;
use std::io::{Write as _, stderr};
use std::time::Duration;
use tidings_domain::{Clock, SystemClock};
use tidings_store::transfer::{Sink, Totals, TransferError};
use tidings_store_mongo::{Originals, TakenOver};

/// Takes over what the original system stored, and says what was left out, and what retention will delete.
pub async fn import_original(
    originals: Originals,
    sink: Box<dyn Sink>,
    retention: Duration,
) -> Result<(), TransferError> {
    let mut progress = Progress::start("taken over", originals.size());
    let mut show = |totals: &Totals, read| progress.show(totals, read);
    let now = SystemClock.now();
    let taken = originals.take_over(sink, now, now.before(retention), &mut show).await?;
    progress.end_with(&said(&taken));
    // The operator's terminal may be gone; all is done.
    let _ = write!(stderr(), "{}", remarks(&taken, retention));
    Ok(())
}

fn said(taken: &TakenOver) -> String {
    let TakenOver { users, notifications, before, left_out, .. } = taken;
    let before = if *before > 0 { format!(" ({before} of them before)") } else { String::new() };
    format!("{notifications} notifications of {users} users{before}, {left_out} documents left out")
}

fn remarks(taken: &TakenOver, retention: Duration) -> String {
    let mut text = String::new();
    for (id, reason) in &taken.named {
        let _ = writeln!(text, "left out: {id}: {reason}");
    }
    if taken.left_out > taken.named.len() as u64 {
        let _ = writeln!(text, "left out: and {} more", taken.left_out - taken.named.len() as u64);
    }
    if taken.old > 0 {
        let days = retention.as_secs() / 86_400;
        let _ = writeln!(
            text,
            "retention: {} notifications are older than TIDINGS_RETENTION_DAYS={days}, and the server will delete them",
            taken.old
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_named_up_to_a_bound() {
        let mut taken = TakenOver { users: 2, notifications: 7, left_out: 3, ..TakenOver::default() };
        taken.named = vec![("6903".to_owned(), "message is missing".to_owned())];
        assert_eq!(said(&taken), "7 notifications of 2 users, 3 documents left out");
        let text = remarks(&taken, Duration::from_secs(90 * 86_400));
        assert_eq!(text, "left out: 6903: message is missing\nleft out: and 2 more\n");
        (taken.before, taken.old, taken.left_out) = (4, 5, 1);
        assert!(said(&taken).contains("(4 of them before)"));
        let text = remarks(&taken, Duration::from_secs(90 * 86_400));
        assert!(text.ends_with("TIDINGS_RETENTION_DAYS=90, and the server will delete them\n"), "{text}");
    }
}
