use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use tidings_domain::{
    Change, Content, Counts, Kind, MarkOp, MarkTarget, Notification, NotificationId, Revision, State,
    Timestamp, UserId, limits,
};

/// A change as nodes tell it to each other. User and revision stand outside of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Carried<'a> {
    /// Unread, unseen, total.
    counts: (u64, u64, u64),
    #[serde(borrow)]
    what: What<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
enum What<'a> {
    #[serde(borrow)]
    Sent(Box<Told<'a>>),
    #[serde(borrow)]
    Edited(Box<Told<'a>>),
    Marked {
        #[serde(borrow)]
        op: Cow<'a, str>,
        ids: Option<Vec<String>>,
        up_to: Option<Revision>,
        category: Option<String>,
    },
}

/// A notification; times are milliseconds.
#[derive(Debug, Serialize, Deserialize)]
struct Told<'a> {
    id: String,
    seq: Revision,
    content: Cow<'a, Content>,
    delivered_at: Option<i64>,
    seen_at: Option<i64>,
    read_at: Option<i64>,
    archived_at: Option<i64>,
    timestamp: i64,
    edited_at: Option<i64>,
    expires_at: Option<i64>,
}

/// About how many bytes a change is when it is told.
pub fn size(change: &Change) -> usize {
    match &change.kind {
        Kind::Sent(notification) | Kind::Edited(notification) => {
            let Content { title, message, data, category, url, avatar, actions, .. } = &notification.content;
            let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
            let actions: usize = actions.iter().map(|action| action.label.len() + action.url.len()).sum();
            300 + title.len()
                + message.len()
                + data.get().len()
                + length(category)
                + length(url)
                + length(avatar)
                + actions
        }
        Kind::Marked { target: MarkTarget::Ids(ids), .. } => 200 + ids.len() * 39,
        Kind::Marked { .. } => 200,
    }
}

impl<'a> Carried<'a> {
    /// As it is told.
    pub fn of(change: &'a Change) -> Self {
        let Counts { unread, unseen, total } = change.counts;
        let what = match &change.kind {
            Kind::Sent(notification) => What::Sent(Box::new(Told::of(notification))),
            Kind::Edited(notification) => What::Edited(Box::new(Told::of(notification))),
            Kind::Marked { op, target, category } => {
                let (ids, up_to) = match target {
                    MarkTarget::Ids(ids) => (Some(ids.iter().map(ToString::to_string).collect()), None),
                    MarkTarget::UpTo(up_to) => (None, Some(*up_to)),
                };
                What::Marked { op: op.as_str().into(), ids, up_to, category: category.clone() }
            }
        };
        Self { counts: (unread, unseen, total), what }
    }

    /// The change, if it keeps every limit that one of this server would.
    pub fn into_change(self, user_id: &UserId, rev: Revision) -> Option<Change> {
        let (unread, unseen, total) = self.counts;
        let kind = match self.what {
            What::Sent(told) => Kind::Sent(Box::new(told.into_notification(user_id, rev)?)),
            What::Edited(told) => Kind::Edited(Box::new(told.into_notification(user_id, rev)?)),
            What::Marked { op, ids, up_to, category } => {
                let target = match (ids, up_to) {
                    (Some(ids), None) if !ids.is_empty() => MarkTarget::Ids(
                        ids.iter().map(|id| NotificationId::parse(id)).collect::<Option<_>>()?,
                    ),
                    (None, Some(up_to)) => MarkTarget::UpTo(up_to),
                    _ => return None,
                };
                if category.as_ref().is_some_and(|category| category.len() > limits::CATEGORY_BYTES) {
                    return None;
                }
                Kind::Marked { op: MarkOp::parse(&op)?, target, category }
            }
        };
        Some(Change { user_id: user_id.clone(), rev, counts: Counts { unread, unseen, total }, kind })
    }
}

impl<'a> Told<'a> {
    fn of(notification: &'a Notification) -> Self {
        let State { delivered_at, seen_at, read_at, archived_at } = notification.state;
        let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
        Self {
            id: notification.id.to_string(),
            seq: notification.seq,
            content: Cow::Borrowed(&notification.content),
            delivered_at: millis(delivered_at),
            seen_at: millis(seen_at),
            read_at: millis(read_at),
            archived_at: millis(archived_at),
            timestamp: notification.timestamp.as_millis(),
            edited_at: millis(notification.edited_at),
            expires_at: millis(notification.expires_at),
        }
    }

    fn into_notification(self, user_id: &UserId, rev: Revision) -> Option<Notification> {
        let legal = self.content.check().is_ok() && self.content.data.get().starts_with('{');
        if !legal || self.seq > rev {
            return None;
        }
        let at = |millis: Option<i64>| millis.map(Timestamp::from_millis);
        Some(Notification {
            id: NotificationId::parse(&self.id)?,
            user_id: user_id.clone(),
            seq: self.seq,
            rev,
            content: self.content.into_owned(),
            state: State {
                delivered_at: at(self.delivered_at),
                seen_at: at(self.seen_at),
                read_at: at(self.read_at),
                archived_at: at(self.archived_at),
            },
            timestamp: Timestamp::from_millis(self.timestamp),
            edited_at: at(self.edited_at),
            expires_at: at(self.expires_at),
        })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::value::RawValue;
    use tidings_domain::Action;

    /// One of each kind, with everything that it can have.
    pub fn changes() -> Vec<Change> {
        let id = NotificationId::parse("0198c0de-0000-7000-8000-000000000001").unwrap();
        let at = |millis| Some(Timestamp::from_millis(millis));
        let user_id = UserId::new("ana").unwrap();
        let plain = Notification {
            id,
            user_id: user_id.clone(),
            seq: 41,
            rev: 44,
            content: Content::text("hello \u{1F4EE} \"\\\u{0}"),
            state: State::default(),
            timestamp: Timestamp::from_millis(1),
            edited_at: None,
            expires_at: None,
        };
        let mut full = plain.clone();
        full.content.title = "title".into();
        full.content.data = RawValue::from_string("{ \"a\" : 1.50, \"a b\":[null]}".into()).unwrap();
        full.content.category = Some("orders".into());
        full.content.priority = tidings_domain::Priority::Urgent;
        full.content.url = Some("https://example.org/ä".into());
        full.content.avatar = Some("/a.png".into());
        full.content.actions = vec![Action { label: "Go".into(), url: "/go".into() }];
        full.state = State { delivered_at: at(2), seen_at: at(3), read_at: at(4), archived_at: at(5) };
        (full.edited_at, full.expires_at) = (at(6), at(7));
        let mark = |target, category: Option<&str>| Kind::Marked {
            op: MarkOp::Archive,
            target,
            category: category.map(str::to_owned),
        };
        let kinds = vec![
            Kind::Sent(Box::new(plain)),
            Kind::Edited(Box::new(full)),
            mark(MarkTarget::Ids(vec![id, id]), None),
            mark(MarkTarget::UpTo(Revision::MAX), Some("orders")),
        ];
        let counts = Counts { unread: 1, unseen: 2, total: u64::MAX };
        kinds.into_iter().map(|kind| Change { user_id: user_id.clone(), rev: 44, counts, kind }).collect()
    }

    #[test]
    fn a_change_arrives_as_it_was_and_about_as_large_as_was_thought() {
        for change in changes() {
            let text = serde_json::to_string(&Carried::of(&change)).unwrap();
            let read: Carried<'_> = serde_json::from_str(&text).unwrap();
            let read = read.into_change(&change.user_id, change.rev).unwrap();
            assert_eq!(format!("{read:?}"), format!("{change:?}"));
            assert!(text.len() <= size(&change) + 200, "{} for {text}", size(&change));
        }
    }
}
