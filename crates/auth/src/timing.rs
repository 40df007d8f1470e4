use std::time::Duration;

/// How a key set is fetched. The defaults are the contract's; tests take others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwksTiming {
    /// The longest that one fetch may take, from resolving the name to the last byte.
    pub timeout: Duration,
    /// The shortest time between two fetches, whatever the tokens say.
    pub floor: Duration,
    /// For how long a fetched set is used before it is fetched again in the background.
    pub fresh_for: Duration,
}

impl Default for JwksTiming {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            floor: Duration::from_secs(10),
            fresh_for: Duration::from_secs(600),
        }
    }
}
