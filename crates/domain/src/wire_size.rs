//! How large an entry is as JSON, without writing it: pages and events are bounded by it.

use crate::{Content, Entry, Notification, State};

/// What every notification has, in bytes at most: the names and the marks between, the id, the words, its own time.
const FIXED: usize = 350;

/// A deleted one without its numbers.
const TOMBSTONE: usize = 80;

/// A time between quotes, and what stands for none.
const TIME: usize = 26;
const NULL: usize = 4;

/// The names and marks of an action.
const ACTION: usize = 24;

impl Entry {
    /// How many bytes it has as JSON: never fewer than it really has, and little more.
    pub fn wire_size(&self) -> usize {
        match self {
            Self::Live(notification) => notification.wire_size(),
            Self::Deleted(tombstone) => TOMBSTONE + digits(tombstone.seq) + digits(tombstone.rev),
        }
    }
}

impl Notification {
    /// How many bytes it has as JSON: never fewer than it really has, and little more.
    pub fn wire_size(&self) -> usize {
        let Content { title, message, data, category, priority: _, url, avatar, actions } = &self.content;
        let optional = [category, url, avatar].into_iter().map(|value| value.as_deref().map_or(NULL, text));
        let State { delivered_at, seen_at, read_at, archived_at } = self.state;
        let times = [delivered_at, seen_at, read_at, archived_at, self.expires_at];
        let times = times.into_iter().map(|time| if time.is_some() { TIME } else { NULL });
        let actions = actions.iter().map(|action| text(&action.label) + text(&action.url) + ACTION);
        FIXED
            + text(self.user_id.as_str())
            + text(title)
            + text(message)
            + data.get().len()
            + digits(self.seq)
            + digits(self.rev)
            + optional.sum::<usize>()
            + times.sum::<usize>()
            + actions.sum::<usize>()
    }
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// A text between quotes, escaped: `\u0000` is the longest way to write a byte.
fn text(text: &str) -> usize {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r' => 1,
        0x00..=0x1f => 5,
        _ => 0,
    });
    text.len() + escaped.sum::<usize>() + 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, NotificationId, Timestamp, Tombstone, UserId};

    fn check(entry: &Entry) {
        let real = serde_json::to_string(entry).unwrap().len();
        let size = entry.wire_size();
        assert!(size >= real && size <= real + 48, "{size} for {real}");
    }

    #[test]
    fn it_is_never_too_small() {
        let at = Some(Timestamp::from_millis(1_900_000_000_999));
        let id = NotificationId::from_bytes([0xff; 16]);
        let largest = Notification {
            id,
            user_id: UserId::new(&"\"".repeat(128)).unwrap(),
            seq: u64::MAX,
            rev: u64::MAX,
            content: Content {
                title: "\u{1}\n\\\"ä😀".repeat(8),
                category: Some("\u{7f}\u{2028}".into()),
                url: Some("/x".into()),
                avatar: Some("https://a.test/\"".into()),
                actions: vec![Action { label: "\t".into(), url: "/".into() }; 3],
                ..Content::text("\u{0}".repeat(1_000))
            },
            state: State { delivered_at: at, seen_at: at, read_at: at, archived_at: at },
            timestamp: Timestamp::from_millis(0),
            edited_at: at,
            expires_at: at,
        };
        check(&Entry::Live(Box::new(largest.clone())));
        check(&Entry::Live(Box::new(Notification { content: Content::text("m"), ..largest })));
        check(&Entry::Deleted(Tombstone { id, seq: u64::MAX, rev: u64::MAX }));
    }
}
