use crate::{FieldError, Invalid};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The limits of a notification's fields; all sizes are bytes of UTF-8.
pub mod limits {
    /// The text of a notification, at least 1.
    pub const MESSAGE_BYTES: usize = 4_096;
    /// The title.
    pub const TITLE_BYTES: usize = 256;
    /// `data`, as the JSON text that was sent.
    pub const DATA_BYTES: usize = 16 * 1024;
    /// The category.
    pub const CATEGORY_BYTES: usize = 64;
    /// How many actions one notification carries.
    pub const ACTIONS: usize = 3;
    /// The label of an action, at least 1.
    pub const LABEL_BYTES: usize = 64;
    /// Any URL.
    pub const URL_BYTES: usize = 2_048;
    /// A collapse key.
    pub const COLLAPSE_KEY_BYTES: usize = 255;
    /// The named users of one send.
    pub const USERS_PER_SEND: usize = 1_000;
    /// The items of one batch.
    pub const BATCH_ITEMS: usize = 1_000;
    /// The ids of one mark.
    pub const MARK_IDS: usize = 1_000;
    /// An idempotency key.
    pub const IDEMPOTENCY_KEY_BYTES: usize = 255;
}

/// How much a notification presses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// May wait.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Should be noticed soon.
    High,
    /// Should interrupt.
    Urgent,
}

impl Priority {
    /// Reads the word on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "low" => Self::Low,
            "normal" => Self::Normal,
            "high" => Self::High,
            "urgent" => Self::Urgent,
            _ => return None,
        })
    }
}

/// A button under a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// What the button says.
    pub label: String,
    /// Where it leads.
    pub url: String,
}

/// What a notification says, as its sender set it. [`Content::check`] holds it to the limits; stores keep it as they
/// are given it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// The headline; `""` when there is none.
    pub title: String,
    /// The text.
    pub message: String,
    /// Any JSON object, kept letter by letter.
    pub data: Box<RawValue>,
    /// What the application groups by.
    pub category: Option<String>,
    /// How much it presses.
    pub priority: Priority,
    /// Where a click leads.
    pub url: Option<String>,
    /// A picture beside it.
    pub avatar: Option<String>,
    /// Its buttons.
    pub actions: Vec<Action>,
}

impl Content {
    /// A notification with nothing but its text.
    pub fn text(message: impl Into<String>) -> Self {
        Self {
            title: String::new(),
            message: message.into(),
            data: empty_object(),
            category: None,
            priority: Priority::Normal,
            url: None,
            avatar: None,
            actions: Vec::new(),
        }
    }

    /// Holds every field to its limits, and reports all that are wrong at once.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut errors = Vec::new();
        if self.message.is_empty() {
            errors.push(FieldError::new("message", "must not be empty"));
        }
        at_most(&mut errors, "message", &self.message, limits::MESSAGE_BYTES);
        at_most(&mut errors, "title", &self.title, limits::TITLE_BYTES);
        at_most(&mut errors, "data", self.data.get(), limits::DATA_BYTES);
        if !self.data.get().starts_with('{') {
            errors.push(FieldError::new("data", "must be a JSON object"));
        }
        if let Some(category) = &self.category {
            check_category(&mut errors, category);
        }
        for (field, url) in [("url", &self.url), ("avatar", &self.avatar)] {
            if let Some(url) = url {
                check_url(&mut errors, field, url);
            }
        }
        if self.actions.len() > limits::ACTIONS {
            errors.push(FieldError::new("actions", format!("must be at most {}", limits::ACTIONS)));
        }
        for (index, action) in self.actions.iter().enumerate().take(limits::ACTIONS) {
            if action.label.is_empty() {
                errors.push(FieldError::new(format!("actions[{index}].label"), "must not be empty"));
            }
            at_most(&mut errors, &format!("actions[{index}].label"), &action.label, limits::LABEL_BYTES);
            check_url(&mut errors, &format!("actions[{index}].url"), &action.url);
        }
        if errors.is_empty() { Ok(()) } else { Err(Invalid(errors)) }
    }
}

/// `{}`.
fn empty_object() -> Box<RawValue> {
    // `{}` is valid JSON whatever else changes; `null` stands in only to avoid a panic.
    RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn at_most(errors: &mut Vec<FieldError>, field: &str, text: &str, bytes: usize) {
    if text.len() > bytes {
        errors.push(FieldError::new(field, format!("must be at most {bytes} bytes")));
    }
}

fn check_category(errors: &mut Vec<FieldError>, category: &str) {
    if category.is_empty() {
        errors.push(FieldError::new("category", "must not be empty"));
    }
    at_most(errors, "category", category, limits::CATEGORY_BYTES);
    if category.chars().any(char::is_control) {
        errors.push(FieldError::new("category", "must not contain control characters"));
    }
}

/// http(s) or a path. Anything else (`javascript:`, `data:`, `//host`) would run or lead elsewhere when a page puts it
/// into a link.
fn check_url(errors: &mut Vec<FieldError>, field: &str, url: &str) {
    at_most(errors, field, url, limits::URL_BYTES);
    let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    let after_scheme = if lower.starts_with("https://") {
        Some(&url[8..])
    } else if lower.starts_with("http://") {
        Some(&url[7..])
    } else {
        None
    };
    let web = after_scheme.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#']));
    // Browsers read `/\host` as `//host`.
    let path = url.starts_with('/') && !url[1..].starts_with(['/', '\\']);
    if !(web || path) {
        errors.push(FieldError::new(field, "must be an http or https URL, or a path that starts with one /"));
    } else if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        errors.push(FieldError::new(field, "must not contain spaces or control characters"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(content: &Content) -> Vec<String> {
        content
            .check()
            .err()
            .map(|invalid| invalid.0.into_iter().map(|e| e.field).collect())
            .unwrap_or_default()
    }

    #[test]
    fn the_limits_are_inclusive() {
        let mut content = Content::text("x".repeat(limits::MESSAGE_BYTES));
        content.title = "t".repeat(limits::TITLE_BYTES);
        content.category = Some("c".repeat(limits::CATEGORY_BYTES));
        content.actions = vec![Action { label: "Go".into(), url: "/go".into() }; limits::ACTIONS];
        assert!(content.check().is_ok());
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let mut content = Content::text("");
        content.title = "t".repeat(limits::TITLE_BYTES + 1);
        content.category = Some(String::new());
        content.url = Some("javascript:alert(1)".into());
        content.actions = vec![Action { label: String::new(), url: "ftp://x".into() }];
        assert_eq!(
            fields(&content),
            ["message", "title", "category", "url", "actions[0].label", "actions[0].url"]
        );
    }

    #[test]
    fn a_url_leads_to_the_web_or_to_a_path() {
        let mut content = Content::text("m");
        for good in ["/", "/orders/1?x=1#y", "http://a", "HTTPS://example.org/ä"] {
            content.url = Some(good.into());
            assert!(fields(&content).is_empty(), "{good}");
        }
        for bad in [
            "",
            "orders",
            "//evil.example",
            "/\\evil.example",
            "https://",
            "https:///x",
            "data:text/html,x",
            "/a b",
        ] {
            content.url = Some(bad.into());
            assert_eq!(fields(&content), ["url"], "{bad}");
        }
    }
}
