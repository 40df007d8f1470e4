//! Where a setting's value comes from: flags over environment over `.env` over defaults. An empty value is as good as
//! none, so that `MONGODB_URI=` in a file unsets.

use crate::config::{ConfigError, SETTINGS, Setting};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// Who set a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// The file `.env` in the working folder.
    File,
    /// Nobody.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "from the command line",
            Self::Environment => "from the environment",
            Self::File => "from .env",
            Self::Default => "the default",
        })
    }
}

/// A setting's value and its origin.
#[derive(Debug, Clone)]
pub struct Value {
    /// The setting.
    pub setting: &'static Setting,
    /// The text; empty: unset.
    pub text: String,
    /// Who set it.
    pub origin: Origin,
}

/// Reads `.env`, if there is one.
pub fn read_env_file(path: &Path) -> Result<HashMap<String, String>, ConfigError> {
    let entries = match dotenvy::from_path_iter(path) {
        Ok(entries) => entries,
        Err(error) if error.not_found() => return Ok(HashMap::new()),
        Err(error) => return Err(ConfigError(format!("the file .env cannot be read: {error}"))),
    };
    entries.collect::<Result<_, _>>().map_err(|error| match error {
        // The text of the line may hold a secret: only the place is told.
        dotenvy::Error::LineParse(_, at) => {
            ConfigError(format!("the file .env is malformed: a line cannot be read, at its character {at}"))
        }
        other => ConfigError(format!("the file .env cannot be read: {other}")),
    })
}

/// The effective value of every setting.
pub fn resolve(
    flags: &HashMap<&'static str, String>,
    environment: impl Fn(&str) -> Option<String>,
    file: &HashMap<String, String>,
) -> Vec<Value> {
    SETTINGS
        .iter()
        .map(|setting| {
            let set = |text: Option<String>| text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
            let (text, origin) = if let Some(text) = set(flags.get(setting.env).cloned()) {
                (text, Origin::Flag)
            } else if let Some(text) = set(environment(setting.env)) {
                (text, Origin::Environment)
            } else if let Some(text) = set(file.get(setting.env).cloned()) {
                (text, Origin::File)
            } else {
                (setting.default.to_owned(), Origin::Default)
            };
            Value { setting, text, origin }
        })
        .collect()
}

/// Names that look like settings and are none: typing mistakes.
pub fn strangers(environment: impl Iterator<Item = String>, file: &HashMap<String, String>) -> Vec<String> {
    let known = |name: &String| SETTINGS.iter().any(|setting| setting.env == name);
    let mut names: Vec<String> = environment
        .chain(file.keys().cloned())
        .filter(|name| name.starts_with("TIDINGS_") && !known(name))
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_over_environment_over_file_over_defaults() {
        let flags = HashMap::from([("PORT", "1".to_owned())]);
        let environment = |name: &str| match name {
            "PORT" | "TIDINGS_DATA_DIR" => Some("2".to_owned()),
            "TIDINGS_LOG" => Some(String::new()),
            _ => None,
        };
        let names = ["PORT", "TIDINGS_DATA_DIR", "TIDINGS_BIND"];
        let file = names.into_iter().map(|name| (name.to_owned(), "3".to_owned())).collect();
        let values = resolve(&flags, environment, &file);
        let of = |name: &str| values.iter().find(|value| value.setting.env == name).unwrap();
        assert_eq!((of("PORT").text.as_str(), of("PORT").origin), ("1", Origin::Flag));
        assert_eq!(
            (of("TIDINGS_DATA_DIR").text.as_str(), of("TIDINGS_DATA_DIR").origin),
            ("2", Origin::Environment)
        );
        assert_eq!((of("TIDINGS_BIND").text.as_str(), of("TIDINGS_BIND").origin), ("3", Origin::File));
        assert_eq!((of("TIDINGS_LOG").text.as_str(), of("TIDINGS_LOG").origin), ("info", Origin::Default));
    }

    #[test]
    fn a_typing_mistake_is_found() {
        let names = ["TIDINGS_DATADIR", "TIDINGS_LOG", "PATH"].map(str::to_owned).into_iter();
        assert_eq!(strangers(names, &HashMap::new()), ["TIDINGS_DATADIR"]);
    }
}
