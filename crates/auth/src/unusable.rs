use std::fmt;

/// What is configured but cannot be used: the server must not start. One sentence for each, for the operator; never
/// quotes a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable(Vec<String>);

impl Unusable {
    /// The sentences; never empty.
    pub fn sentences(&self) -> &[String] {
        &self.0
    }

    /// `Err` when there is something to complain about.
    pub(crate) fn unless_empty(sentences: Vec<String>) -> Result<(), Self> {
        if sentences.is_empty() { Ok(()) } else { Err(Self(sentences)) }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl std::error::Error for Unusable {}

/// Takes what could be used; notes the sentence of what could not.
pub(crate) fn note<T>(sentences: &mut Vec<String>, result: Result<T, String>) -> Option<T> {
    result.map_err(|sentence| sentences.push(sentence)).ok()
}
