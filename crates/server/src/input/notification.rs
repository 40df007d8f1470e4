use crate::input::fields::read_list;
use crate::input::{Fields, Malformed, Unknown};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
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

/// The longest `ttl_seconds`: a hundred years.
const TTL: u64 = 100 * 365 * 86_400;

/// When a notification vanishes by itself, as its sender says it.
#[derive(Debug, Clone, Copy)]
enum Expiry {
    Never,
    At(Timestamp),
    /// So long after it is sent.
    After(Duration),
}

/// A request to send that is valid but for what depends on when it is sent. It cannot be sent before [`Undated::at`] has
/// judged that; a retry of what was sent before is not judged again.
#[derive(Debug, Clone)]
pub struct Undated {
    draft: Draft,
    expiry: Expiry,
}

impl Undated {
    /// The request, sent at `now`.
    pub fn at(self, now: Timestamp) -> Result<Draft, Invalid> {
        let expires_at = match self.expiry {
            Expiry::Never => None,
            Expiry::At(at) => Some(future(at, now)?),
            Expiry::After(ttl) => Some(now.after(ttl)),
        };
        Ok(Draft { expires_at, ..self.draft })
    }
}

fn future(at: Timestamp, now: Timestamp) -> Result<Timestamp, Invalid> {
    if at > now { Ok(at) } else { Err(Invalid::one("expires_at", "must be in the future")) }
}

/// The body of `POST /v1/notifications`.
pub fn read_send(body: &str) -> Result<Undated, Refused> {
    let mut fields = Fields::of(body)?;
    let to = recipients(&mut fields);
    if fields.raw("send_at").is_some() {
        fields.wrong("send_at", "sending later is not supported by this version");
    }
    Ok(draft(fields, to)?)
}

/// The body of the original's `POST /api/notifications/send`, with the habits that the original had.
pub fn read_original(body: &str) -> Result<Undated, Refused> {
    let mut fields = Fields::of_original(body)?;
    let user = required_user(&mut fields, "user_id");
    Ok(draft(fields, user.map(|user| Recipients(vec![user])))?)
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
        expires_at: new_expiry(&mut fields, now).map(Some).or(is_cleared("expires_at").then_some(None)),
    };
    // What an edit sets keeps the limits that a whole notification keeps.
    if let Err(invalid) = edit.apply(&blank).0.check() {
        fields.absorb(invalid);
    }
    fields.finish(Unknown::Refuse)?;
    Ok(edit)
}

fn draft(mut fields: Fields<'_>, to: Option<Recipients>) -> Result<Undated, Invalid> {
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
    let expiry = expiry(&mut fields);
    let collapse_key = fields.text("collapse_key");
    if let Some(key) = &collapse_key
        && !(1..=limits::COLLAPSE_KEY_BYTES).contains(&key.len())
    {
        fields.wrong("collapse_key", format!("must be 1 to {} bytes", limits::COLLAPSE_KEY_BYTES));
    }
    let unknown = fields.unknown();
    fields.finish(unknown)?;
    // Without a recipient an error was reported above; this is for the compiler.
    let to = to.ok_or_else(|| Invalid::one("to", "is required"))?;
    let collapse_key = collapse_key.map(Arc::from);
    Ok(Undated { draft: Draft { to, content: Arc::new(content), expires_at: None, collapse_key }, expiry })
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

fn expiry(fields: &mut Fields<'_>) -> Expiry {
    let (at, ttl) = (fields.time("expires_at"), fields.number("ttl_seconds"));
    if ttl.is_some_and(|seconds| !(1..=TTL).contains(&seconds)) {
        fields.wrong("ttl_seconds", format!("must be 1 to {TTL}"));
    }
    match (at, ttl) {
        (Some(_), Some(_)) => {
            fields.wrong("ttl_seconds", "only one of expires_at and ttl_seconds can be given");
            Expiry::Never
        }
        (Some(at), None) => Expiry::At(at),
        (None, Some(seconds)) => Expiry::After(Duration::from_secs(seconds)),
        (None, None) => Expiry::Never,
    }
}

/// `expires_at` of an edit.
fn new_expiry(fields: &mut Fields<'_>, now: Timestamp) -> Option<Timestamp> {
    let at = fields.time("expires_at")?;
    future(at, now).map_err(|invalid| fields.absorb(invalid)).ok()
}

fn actions(fields: &mut Fields<'_>) -> Option<Vec<Action>> {
    let items = fields.list("actions", limits::ACTIONS)?;
    let mut actions = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        actions.extend(action(fields, item, &format!("actions[{index}]")));
    }
    Some(actions)
}

fn action<'a>(fields: &mut Fields<'a>, item: &'a RawValue, path: &str) -> Option<Action> {
    let Some(mut inner) = fields.nested(item, path) else {
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
    let unknown = inner.unknown();
    match inner.finish(unknown) {
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
        let draft = read_send(body).unwrap().at(NOW).unwrap();
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
            (
                r#"{"to":"ana","message":"m","expires_at":"2030-01-01T00:00:00Z","ttl_seconds":60}"#,
                vec!["ttl_seconds"],
            ),
            (r#"{"to":"ana","message":"m","ttl_seconds":0}"#, vec!["ttl_seconds"]),
            (r#"{"to":"ana","message":"m","ttl_seconds":3153600001}"#, vec!["ttl_seconds"]),
            (r#"{"to":"ana","message":"m","ttl_seconds":"60"}"#, vec!["ttl_seconds"]),
            (
                r#"{"to":"ana","message":"m","priority":"top","collapse_key":""}"#,
                vec!["priority", "collapse_key"],
            ),
        ] {
            assert_eq!(fields_of(read_send(body)), expected, "{body}");
        }
    }

    #[test]
    fn what_depends_on_the_time_is_judged_when_it_is_sent() {
        let at = |text: &str, now: i64| read_send(text).unwrap().at(Timestamp::from_millis(now));
        let until = r#"{"to":"ana","message":"m","expires_at":"1970-01-01T00:00:02Z"}"#;
        assert_eq!(at(until, 1_999).unwrap().expires_at, Some(Timestamp::from_millis(2_000)));
        assert_eq!(at(until, 2_000).unwrap_err(), Invalid::one("expires_at", "must be in the future"));
        let ttl = r#"{"to":"ana","message":"m","ttl_seconds":60}"#;
        assert_eq!(at(ttl, 2_000).unwrap().expires_at, Some(Timestamp::from_millis(62_000)));
        let longest =
            at(r#"{"to":"ana","message":"m","ttl_seconds":3153600000}"#, 1_800_000_000_000).unwrap();
        assert!(Timestamp::parse(&longest.expires_at.unwrap().to_string()).is_some());
    }

    #[test]
    fn the_original_route_ignores_what_it_does_not_know() {
        let draft = read_original(r#"{"user_id":"ana","message":"m","is_read":true,"x":1}"#).unwrap();
        assert_eq!(draft.at(NOW).unwrap().to.0[0].as_str(), "ana");
        assert_eq!(fields_of(read_original(r#"{"message":"m"}"#)), ["user_id"]);
    }

    #[test]
    fn the_original_route_has_the_original_habits() {
        let body = r#"{"user_id":42,"message":7,"title":true,"url":"","avatar":"","category":"","expires_at":"",
            "priority":"","data":"","collapse_key":"","actions":[{"label":1,"url":"/a","icon":"x"}]}"#;
        let draft = read_original(body).unwrap().at(NOW).unwrap();
        assert_eq!(draft.to.0[0].as_str(), "42");
        let Content { title, message, url, avatar, category, actions, data, .. } = &*draft.content;
        assert_eq!((title.as_str(), message.as_str(), data.get()), ("true", "7", "{}"));
        assert_eq!((url, avatar, category), (&None, &None, &None));
        assert_eq!(actions[..], [Action { label: "1".into(), url: "/a".into() }]);
        assert!(draft.expires_at.is_none() && draft.collapse_key.is_none());
        for (body, field) in [
            (r#"{"user_id":"","message":"m"}"#, "user_id"),
            (r#"{"user_id":"a","message":""}"#, "message"),
            (r#"{"user_id":["a"],"message":"m"}"#, "user_id"),
            (r#"{"user_id":"a","message":{}}"#, "message"),
            (r#"{"user_id":"a","message":"m","url":7}"#, "url"),
            (r#"{"user_id":"a","message":"m","actions":[{"label":"x","url":""}]}"#, "actions[0].url"),
        ] {
            assert_eq!(fields_of(read_original(body)), [field], "{body}");
        }
        // Under /v1 all of that is wrong.
        for field in ["url", "avatar", "category", "expires_at", "priority", "collapse_key"] {
            let body = format!(r#"{{"to":"ana","message":"m","{field}":""}}"#);
            assert_eq!(fields_of(read_send(&body)), [field]);
        }
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
}
