use serde::Serialize;

/// One thing that is wrong with what somebody sent, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The path of the field, as `actions[0].url`.
    pub field: String,
    /// What is wrong with it, for a person to read. Never quotes the value: it may be a secret or huge.
    pub detail: String,
}

impl FieldError {
    /// An error at `field`.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }
}

/// Everything that is wrong with one input; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", summary(.0))]
pub struct Invalid(pub Vec<FieldError>);

impl Invalid {
    /// One error at one field.
    pub fn one(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self(vec![FieldError::new(field, detail)])
    }
}

fn summary(errors: &[FieldError]) -> String {
    let mut text = String::new();
    for error in errors {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&error.field);
        text.push_str(": ");
        text.push_str(&error.detail);
    }
    text
}
