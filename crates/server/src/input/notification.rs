use crate::input::fields::read_list;
use crate::input::{Fields, Malformed, Unknown};
use serde_json::value::RawValue;
use std::sync::Arc;
use tidings_domain::{Action, Content, FieldError, Invalid, Priority, Timestamp, UserId, limits};
use tidings_store::Edit;

/// Who a notification is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipients(pub Vec<UserId>);

/// A valid request to send.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Named users, each once, at least one.
    pub to: Recipients,
    /// What it says.
    pub content: Arc<Content>,
    /// When it vanishes by itself.
    pub expires_at: Option<Timestamp>,
    /// Replaces what is unread and has the same key.
    pub collapse_key: Option<Arc<str>>,
}

/// Why a body was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No JSON object.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Fields are wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// The body of `POST /v1/notifications`.
pub fn read_send(body: &str, now: Timestamp) -> Result<Draft, Refused> {
    let mut fields = Fields::of(body)?;
    let to = recipients(&mut fields);
    if fields.raw("send_at").is_some() {
        fields.wrong("send_at", "sending later is not supported by this version");
    }
    Ok(draft(fields, to, now, Unknown::Refuse)?)
}

/// The body of the original's `POST /api/notifications/send`.
pub fn read_original(body: &str, now: Timestamp) -> Result<Draft, Refused> {
    let mut fields = Fields::of(body)?;
    let user = required_user(&mut fields, "user_id");
    Ok(draft(fields, user.map(|user| Recipients(vec![user])), now, Unknown::Ignore)?)
}

/// The body of `POST /v1/notifications/batch`: each item on its own, in order. An item is read when it is asked for, so
/// that who stops at too many users in all has not gathered them.
pub fn read_batch(
    body: &str,
    now: Timestamp,
) -> Result<impl ExactSizeIterator<Item = Result<Draft, Refused>>, Refused> {
    let mut fields = Fields::of(body)?;
    let items = fields.list("notifications", limits::BATCH_ITEMS);
    match &items {
        None if fields.good() => fields.wrong("notifications", "is required"),
        Some(items) if items.is_empty() => fields.wrong("notifications", "must not be empty"),
        _ => {}
    }
    fields.finish(Unknown::Refuse)?;
    Ok(items.unwrap_or_default().into_iter().map(move |item| read_send(item.get(), now)))
}

/// The body of `PATCH /v1/notifications/{id}`: what is named is set, `null` clears.
pub fn read_edit(body: &str, now: Timestamp) -> Result<Edit, Refused> {
    let mut fields = Fields::of(body)?;
    let mut cleared = Vec::new();
    for name in ["title", "message", "data", "category", "priority", "url", "avatar", "actions", "expires_at"]
    {
        let null = fields.peek_null(name);
        if null {
            fields.raw_or_null(name);
            cleared.push(name);
        }
    }
    let is_cleared = |name: &str| cleared.contains(&name);
    if is_cleared("message") {
        fields.wrong("message", "must not be empty");
    }
    let blank = Content::text("-");
    let edit = Edit {
        title: fields.text("title").or(is_cleared("title").then(String::new)),
        message: fields.text("message"),
        data: fields.object("data").or(is_cleared("data").then(|| blank.data.clone())),
        category: fields.text("category").map(Some).or(is_cleared("category").then_some(None)),
        priority: priority(&mut fields).or(is_cleared("priority").then(Priority::default)),
        url: fields.text("url").map(Some).or(is_cleared("url").then_some(None)),
        avatar: fields.text("avatar").map(Some).or(is_cleared("avatar").then_some(None)),
        actions: actions(&mut fields).or(is_cleared("actions").then(Vec::new)),
        expires_at: expiry(&mut fields, now).map(Some).or(is_cleared("expires_at").then_some(None)),
    };
    // What an edit sets keeps the limits that a whole notification keeps.
    if let Err(invalid) = edit.apply(&blank).0.check() {
        fields.absorb(invalid);
    }
    fields.finish(Unknown::Refuse)?;
    Ok(edit)
}

fn draft(
    mut fields: Fields<'_>,
    to: Option<Recipients>,
    now: Timestamp,
    unknown: Unknown,
) -> Result<Draft, Invalid> {
    let message = fields.required_text("message");
    let blank = Content::text(message.unwrap_or_else(|| "-".to_owned()));
    let content = Content {
        title: fields.text("title").unwrap_or_default(),
        data: fields.object("data").unwrap_or_else(|| blank.data.clone()),
        category: fields.text("category"),
        priority: priority(&mut fields).unwrap_or_default(),
        url: fields.text("url"),
        avatar: fields.text("avatar"),
        actions: actions(&mut fields).unwrap_or_default(),
        ..blank
    };
    if let Err(invalid) = content.check() {
        fields.absorb(invalid);
    }
    let expires_at = expiry(&mut fields, now);
    let collapse_key = fields.text("collapse_key");
    if let Some(key) = &collapse_key
        && !(1..=limits::COLLAPSE_KEY_BYTES).contains(&key.len())
    {
        fields.wrong("collapse_key", format!("must be 1 to {} bytes", limits::COLLAPSE_KEY_BYTES));
    }
    fields.finish(unknown)?;
    // Without a recipient an error was reported above; this is for the compiler.
    let to = to.ok_or_else(|| Invalid::one("to", "is required"))?;
    Ok(Draft { to, content: Arc::new(content), expires_at, collapse_key: collapse_key.map(Arc::from) })
}

fn required_user(fields: &mut Fields<'_>, name: &str) -> Option<UserId> {
    let text = fields.required_text(name)?;
    user(fields, name, &text)
}

fn user(fields: &mut Fields<'_>, name: &str, text: &str) -> Option<UserId> {
    match UserId::new(text) {
        Ok(user) => Some(user),
        Err(invalid) => {
            for FieldError { detail, .. } in invalid.0 {
                fields.wrong(name, detail);
            }
            None
        }
    }
}

fn recipients(fields: &mut Fields<'_>) -> Option<Recipients> {
    let Some(raw) = fields.raw("to") else {
        fields.wrong("to", "is required: a user, or a list of users");
        return None;
    };
    let names = match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw.get()).map(|name| vec![name]),
        Some(b'[') => read_list(raw.get(), limits::USERS_PER_SEND),
        Some(b'{') => {
            fields.wrong("to", "topics and everyone are not supported by this version");
            return None;
        }
        _ => Ok(Vec::new()),
    };
    let Ok(names) = names else {
        fields.wrong("to", "must be a user, or a list of users");
        return None;
    };
    if !(1..=limits::USERS_PER_SEND).contains(&names.len()) {
        fields.wrong("to", format!("must name 1 to {} users", limits::USERS_PER_SEND));
        return None;
    }
    let single = raw.get().starts_with('"');
    let mut seen = std::collections::HashSet::with_capacity(names.len());
    let mut users = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let field = if single { "to".to_owned() } else { format!("to[{index}]") };
        if let Some(user) = user(fields, &field, name)
            // Naming a user twice is not a wish for two notifications.
            && seen.insert(user.clone())
        {
            users.push(user);
        }
    }
    fields.good().then_some(Recipients(users))
}

fn priority(fields: &mut Fields<'_>) -> Option<Priority> {
    let word = fields.text("priority")?;
    let priority = Priority::parse(&word);
    if priority.is_none() {
        fields.wrong("priority", "must be low, normal, high or urgent");
    }
    priority
}

fn expiry(fields: &mut Fields<'_>, now: Timestamp) -> Option<Timestamp> {
    let time = fields.time("expires_at")?;
    if time <= now {
        fields.wrong("expires_at", "must be in the future");
    }
    Some(time)
}

fn actions(fields: &mut Fields<'_>) -> Option<Vec<Action>> {
    let items = fields.list("actions", limits::ACTIONS)?;
    let mut actions = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        actions.extend(action(fields, item, &format!("actions[{index}]")));
    }
    Some(actions)
}

fn action(fields: &mut Fields<'_>, item: &RawValue, path: &str) -> Option<Action> {
    let Some(mut inner) = Fields::nested(item, path) else {
        fields.wrong(path, "must be an object with label and url");
        return None;
    };
    let (label, url) = (inner.text("label"), inner.text("url"));
    if inner.good() {
        for (name, value) in [("label", &label), ("url", &url)] {
            if value.is_none() {
                inner.wrong(name, "is required");
            }
        }
    }
    match inner.finish(Unknown::Refuse) {
        Ok(()) => Some(Action { label: label?, url: url? }),
        Err(invalid) => {
            fields.absorb_nested(invalid);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn fields_of<T: std::fmt::Debug>(result: Result<T, Refused>) -> Vec<String> {
        match result {
            Err(Refused::Invalid(invalid)) => invalid.0.into_iter().map(|error| error.field).collect(),
            other => panic!("not refused by field: {other:?}"),
        }
    }

    #[test]
    fn a_whole_send_is_read() {
        let body = r#"{"to":["ana","bo","ana"],"message":"m","title":"t","data":{"n":1.10},"category":"c",
            "priority":"urgent","url":"/x","avatar":"https://a/b","actions":[{"label":"Go","url":"/g"}],
            "expires_at":"2030-01-01T00:00:00Z","collapse_key":"k"}"#;
        let draft = read_send(body, NOW).unwrap();
        assert_eq!(draft.to.0.iter().map(UserId::as_str).collect::<Vec<_>>(), ["ana", "bo"]);
        assert_eq!(draft.content.data.get(), r#"{"n":1.10}"#);
        assert_eq!(draft.content.priority, Priority::Urgent);
        assert!(draft.expires_at.is_some());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, expected) in [
            (r#"{"message":"m"}"#, vec!["to"]),
            (r#"{"to":"ana"}"#, vec!["message"]),
            ("{}", vec!["to", "message"]),
            (r#"{"to":[],"message":"m"}"#, vec!["to"]),
            (r#"{"to":["ana",""],"message":"m"}"#, vec!["to[1]"]),
            (r#"{"to":{"topic":"t"},"message":"m"}"#, vec!["to"]),
            (r#"{"to":7,"message":"m"}"#, vec!["to"]),
            (r#"{"to":"ana","message":5}"#, vec!["message"]),
            (r#"{"to":"ana","message":"m","data":[]}"#, vec!["data"]),
            (r#"{"to":"ana","message":"m","id":"x"}"#, vec!["id"]),
            (r#"{"to":"ana","message":"m","actions":[{"label":"x"}]}"#, vec!["actions[0].url"]),
            (r#"{"to":"ana","message":"m","actions":[{"label":"x","url":"/","x":1}]}"#, vec!["actions[0].x"]),
            (r#"{"to":"ana","message":"m","actions":[7]}"#, vec!["actions[0]"]),
            (r#"{"to":"ana","message":"m","actions":[1,2,3,4]}"#, vec!["actions"]),
            (r#"{"to":"ana","message":"m","actions":{}}"#, vec!["actions"]),
            (r#"{"to":"ana","message":"m","expires_at":"1970-01-01T00:00:00Z"}"#, vec!["expires_at"]),
            (
                r#"{"to":"ana","message":"m","priority":"top","collapse_key":""}"#,
                vec!["priority", "collapse_key"],
            ),
        ] {
            assert_eq!(fields_of(read_send(body, NOW)), expected, "{body}");
        }
    }

    #[test]
    fn the_original_route_ignores_what_it_does_not_know() {
        let draft = read_original(r#"{"user_id":"ana","message":"m","is_read":true,"x":1}"#, NOW).unwrap();
        assert_eq!(draft.to.0[0].as_str(), "ana");
        assert_eq!(fields_of(read_original(r#"{"message":"m"}"#, NOW)), ["user_id"]);
    }

    #[test]
    fn an_edit_sets_clears_and_refuses() {
        let edit = read_edit(r#"{"title":null,"category":null,"message":"new"}"#, NOW).unwrap();
        assert_eq!(edit.title.as_deref(), Some(""));
        assert_eq!(edit.category, Some(None));
        assert!(edit.url.is_none() && edit.expires_at.is_none());
        assert_eq!(fields_of(read_edit(r#"{"seq":1}"#, NOW)), ["seq"]);
        assert_eq!(fields_of(read_edit(r#"{"message":null}"#, NOW)), ["message"]);
        assert_eq!(fields_of(read_edit(r#"{"url":"ftp://x"}"#, NOW)), ["url"]);
    }

    #[test]
    fn a_batch_keeps_the_good_items() {
        let items = read_batch(r#"{"notifications":[{"to":"a","message":"m"},{"to":"a"},7]}"#, NOW);
        let items: Vec<_> = items.unwrap().collect();
        assert!(items[0].is_ok() && items[1].is_err() && matches!(items[2], Err(Refused::Malformed(_))));
        let refused = |body: &str| fields_of(read_batch(body, NOW).map(|items| items.len()));
        assert_eq!(refused("{}"), ["notifications"]);
        assert_eq!(refused(r#"{"notifications":[]}"#), ["notifications"]);
        let many = |items: usize| format!(r#"{{"notifications":[{{}}{}]}}"#, ",{}".repeat(items - 1));
        assert_eq!(read_batch(&many(1_000), NOW).unwrap().len(), 1_000);
        assert_eq!(refused(&many(1_001)), ["notifications"]);
    }
}
