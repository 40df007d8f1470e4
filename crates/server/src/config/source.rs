//! Where a setting's value comes from: flags over environment over `.env` over defaults. An empty value is as good as
//! none, so that `MONGODB_URI=` in a file unsets.

use crate::config::{ConfigError, SETTINGS, Setting, dotenv};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most that is read of `.env`.
const ENV_FILE_BYTES: u64 = 1 << 20;

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

/// What the file `.env` says.
#[derive(Debug, Default)]
pub struct EnvFile {
    /// Names with their values.
    pub values: HashMap<String, String>,
    /// The numbers of the lines that cannot be read and are not ours.
    pub skipped: Vec<usize>,
}

/// Reads `.env`, if there is one. A line that cannot be read is an error if it seems to be one of our settings, and is
/// skipped otherwise: the file may serve other programs too.
pub fn read_env_file(path: &Path) -> Result<EnvFile, ConfigError> {
    let unreadable = |error: io::Error| ConfigError(format!("the file .env cannot be read: {error}"));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(EnvFile::default()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut bytes = Vec::new();
    file.take(ENV_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > ENV_FILE_BYTES {
        return Err(ConfigError(format!("the file .env is larger than {ENV_FILE_BYTES} bytes")));
    }
    read_env_text(&String::from_utf8_lossy(&bytes))
}

fn read_env_text(text: &str) -> Result<EnvFile, ConfigError> {
    let parsed = dotenv::parse(text);
    let mut skipped = Vec::new();
    for line in parsed.unreadable {
        // The text of the line may hold a secret: only its number and the name are told.
        if let Some(name) = setting_in(&line.text) {
            return Err(ConfigError(format!(
                "the file .env sets {name} in line {}, which cannot be read; it must be like {name}=value",
                line.number
            )));
        }
        skipped.push(line.number);
    }
    let values: HashMap<_, _> = parsed.values.into_iter().collect();
    // A decoder puts this where a byte was no UTF-8: the value is not the one that was meant.
    match values.iter().find(|(name, value)| is_ours(name) && value.contains(char::REPLACEMENT_CHARACTER)) {
        Some((name, _)) => Err(not_text(name, "the file .env")),
        None => Ok(EnvFile { values, skipped }),
    }
}

/// Refuses a setting in the environment that is no text, instead of taking it for unset.
pub fn check_environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<(), ConfigError> {
    for (name, value) in variables {
        if let Some(name) = name.to_str().filter(|name| is_ours(name))
            && value.to_str().is_none()
        {
            return Err(not_text(name, "the environment"));
        }
    }
    Ok(())
}

fn not_text(name: &str, place: &str) -> ConfigError {
    ConfigError(format!("{name} in {place} is not valid UTF-8"))
}

fn is_ours(name: &str) -> bool {
    name.starts_with("TIDINGS_")
        || name.starts_with("OTEL_")
        || SETTINGS.iter().any(|setting| setting.env == name)
}

/// The setting that a line which cannot be read seems to be meant for: named at its beginning, or before `=` or `:`.
fn setting_in(line: &str) -> Option<&str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = line;
    let mut is_first = true;
    loop {
        rest = rest.trim_start_matches(|c| !is_of_name(c));
        let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return None;
        }
        if is_ours(word) && (is_first || after.trim_start().starts_with(['=', ':'])) {
            return Some(word);
        }
        is_first = is_first && word == "export";
        rest = after;
    }
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
            // A secret is what was set, to the letter.
            let tidy = |text: String| if setting.secret { text } else { text.trim().to_owned() };
            let set = |text: Option<String>| text.filter(|text| !text.trim().is_empty()).map(tidy);
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

    #[test]
    fn a_dollar_is_a_dollar() {
        let file = read_env_text("B=x\nTIDINGS_API_KEYS=$B-${B}-secret # comment\n").unwrap();
        assert_eq!(file.values["TIDINGS_API_KEYS"], "$B-${B}-secret");
    }

    #[test]
    fn a_line_of_another_program_is_skipped_and_one_of_ours_is_refused_by_name() {
        let file = read_env_text("A=1\nif [ -n \"$PORT\" ]\nURL ${MONGODB_URI}\nPORT=4\n").unwrap();
        assert_eq!((file.skipped.as_slice(), file.values["PORT"].as_str()), ([2, 3].as_slice(), "4"));
        for (line, name) in [
            ("TIDINGS_API_KEYS hunter2", "TIDINGS_API_KEYS"),
            ("export TIDINGS_API_KEYS", "TIDINGS_API_KEYS"),
            ("TIDINGS_API_KEYS:hunter2", "TIDINGS_API_KEYS"),
            ("set TIDINGS_JWT_SECRET=hunter2", "TIDINGS_JWT_SECRET"),
            ("\"TIDINGS_LOG\"=hunter2", "TIDINGS_LOG"),
            ("- PORT: hunter2", "PORT"),
            ("MONGODB_URI -> hunter2", "MONGODB_URI"),
            ("REDIS_URL", "REDIS_URL"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT hunter2", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ] {
            let error = read_env_text(&format!("A=1\n\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("line 3"), "{line}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        use std::os::unix::ffi::OsStringExt as _;
        let bytes = OsString::from_vec(b"\xffsecretsecretsecret".to_vec());
        let error = check_environment([("TIDINGS_API_KEYS".into(), bytes.clone())].into_iter()).unwrap_err();
        assert!(error.0.contains("TIDINGS_API_KEYS"), "{error}");
        check_environment([("OTHER".into(), bytes)].into_iter()).unwrap();
        let text = String::from_utf8_lossy(b"A=\xff\nTIDINGS_API_KEYS=\xffsecret").into_owned();
        assert!(read_env_text(&text).unwrap_err().0.contains("TIDINGS_API_KEYS"));
    }

    #[test]
    fn a_secret_keeps_its_spaces_and_a_blank_one_is_none() {
        let given = HashMap::from([
            ("TIDINGS_JWT_SECRET".to_owned(), " s ".to_owned()),
            ("TIDINGS_API_KEYS".to_owned(), "  ".to_owned()),
            ("PORT".to_owned(), " 5 ".to_owned()),
        ]);
        let values = resolve(&HashMap::new(), |name| given.get(name).cloned(), &HashMap::new());
        let of = |name: &str| values.iter().find(|value| value.setting.env == name).unwrap().text.as_str();
        assert_eq!((of("TIDINGS_JWT_SECRET"), of("TIDINGS_API_KEYS"), of("PORT")), (" s ", "", "5"));
    }
}
