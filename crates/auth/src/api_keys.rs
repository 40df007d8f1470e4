use crate::MAX_CREDENTIAL_BYTES;
use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// At least this, so that nobody guesses one.
const MIN_BYTES: usize = 16;
const MAX_BYTES: usize = 1024;

/// The configured API keys, as digests: the time of a comparison says nothing about a key, not even its length, and
/// the keys themselves are not kept.
#[derive(Default)]
pub(crate) struct ApiKeys(Vec<[u8; 32]>);

impl ApiKeys {
    /// Takes the keys; the errors say which one is unusable by its place, counted from 1.
    pub(crate) fn new(keys: &[SecretString]) -> Result<Self, Vec<String>> {
        let (mut digests, mut sentences) = (Vec::new(), Vec::new());
        for (index, key) in keys.iter().map(ExposeSecret::expose_secret).enumerate() {
            match problem(key) {
                None => digests.push(sha256(key)),
                Some(problem) => {
                    sentences.push(format!("TIDINGS_API_KEYS: key {} {problem}.", index + 1));
                }
            }
        }
        if sentences.is_empty() { Ok(Self(digests)) } else { Err(sentences) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is one of them. Always compares with all.
    pub(crate) fn contain(&self, presented: &str) -> bool {
        if presented.len() > MAX_CREDENTIAL_BYTES {
            return false;
        }
        let presented = sha256(presented);
        self.0.iter().fold(Choice::from(0), |found, key| found | key.ct_eq(&presented)).into()
    }
}

fn problem(key: &str) -> Option<String> {
    if key.is_empty() {
        Some("is empty".into())
    } else if key.len() < MIN_BYTES {
        Some(format!("is too short: at least {MIN_BYTES} bytes are required"))
    } else if key.len() > MAX_BYTES {
        Some(format!("is too long: at most {MAX_BYTES} bytes are allowed"))
    } else if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("cannot be sent in a header: only visible ASCII characters are allowed".into())
    } else {
        None
    }
}

fn sha256(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    bytes
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({} hidden)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Result<ApiKeys, Vec<String>> {
        ApiKeys::new(&keys.iter().map(|key| SecretString::from(*key)).collect::<Vec<_>>())
    }

    #[test]
    fn finds_each_key_and_nothing_near_it() {
        let keys = keys(&["first-key-of-sixteen", "second-key-of-sixteen"]).unwrap();
        assert!(keys.contain("first-key-of-sixteen") && keys.contain("second-key-of-sixteen"));
        for wrong in
            ["", "first-key-of-sixtee", "first-key-of-sixteen ", "First-key-of-sixteen", &"x".repeat(9000)]
        {
            assert!(!keys.contain(wrong));
        }
    }

    #[test]
    fn no_keys_contain_nothing() {
        let none = keys(&[]).unwrap();
        assert!(none.is_empty() && !none.contain("") && !none.contain("anything"));
    }

    #[test]
    fn says_which_key_is_unusable_without_quoting_it() {
        let sentences =
            keys(&["", "abc", "a key with spaces in it", "a-good-key-0123456", &"x".repeat(1025)])
                .unwrap_err();
        assert_eq!(
            sentences,
            [
                "TIDINGS_API_KEYS: key 1 is empty.",
                "TIDINGS_API_KEYS: key 2 is too short: at least 16 bytes are required.",
                "TIDINGS_API_KEYS: key 3 cannot be sent in a header: only visible ASCII characters are allowed.",
                "TIDINGS_API_KEYS: key 5 is too long: at most 1024 bytes are allowed.",
            ]
        );
    }
}
