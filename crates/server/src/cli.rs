//! The command line. Every setting is also a flag; the list is [`SETTINGS`].

use crate::config::{
    Config, ConfigError, SETTINGS, Value, check_environment, is_open, read_env_file, resolve, strangers,
};
use clap::{Arg, ArgMatches, Args as _, Command};
use secrecy::SecretString;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidings_domain::UserId;

/// What was asked for.
pub enum Task {
    /// Serve.
    Serve(Box<Config>, Remarks),
    /// Print the effective settings.
    ShowConfig(Vec<Value>, Remarks),
    /// Print a user token.
    Token(Box<Config>, UserId, Duration),
    /// Copy the embedded store into a file.
    Backup(Box<Config>, PathBuf),
    /// Make the embedded store of such a copy.
    Restore(Box<Config>, PathBuf),
    /// Write everything that the store holds into a file.
    Export(Box<Config>, PathBuf),
    /// Fill an empty store from such a file.
    Import(Box<Config>, PathBuf),
    /// Fill an empty store from the database of the original system.
    ImportOriginal(Box<Config>, Option<SecretString>),
    /// Ask a running server whether it is well.
    Healthcheck(Box<Config>),
    /// Load a running server and measure.
    Bench(Box<tidings_bench::Options>),
}

/// What the operator should look at, although it stops nothing.
#[derive(Default)]
pub struct Remarks {
    /// Names that look like settings and are none.
    pub strangers: Vec<String>,
    /// The numbers of the lines of `.env` that cannot be read.
    pub skipped_lines: Vec<usize>,
}

impl Remarks {
    /// A sentence for each line of `.env` that is skipped; of many only the first ones are named.
    pub fn on_skipped_lines(&self) -> Vec<String> {
        const NAMED: usize = 20;
        let lines = self.skipped_lines.iter().take(NAMED);
        let mut remarks: Vec<_> =
            lines.map(|line| format!("line {line} of the file .env cannot be read and is skipped")).collect();
        if let Some(more) = self.skipped_lines.len().checked_sub(NAMED).filter(|more| *more > 0) {
            remarks.push(format!("{more} more lines of the file .env cannot be read and are skipped"));
        }
        remarks
    }
}

fn command() -> Command {
    let settings = SETTINGS.iter().map(|setting| {
        let default = if setting.default.is_empty() {
            String::new()
        } else {
            format!(" [default: {}]", setting.default)
        };
        Arg::new(setting.env)
            .long(setting.flag())
            .value_name("VALUE")
            .help(format!("{}{default} [env: {}]", setting.help, setting.env))
            .help_heading("Settings (flags over environment over .env over defaults)")
            .global(true)
    });
    Command::new("tidings")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The real-time notification inbox: one binary with an embedded store. Alone, it serves.")
        .args(settings)
        .subcommand(Command::new("serve").about("Serve (the default)"))
        .subcommand(Command::new("config").about("Print the effective settings, secrets hidden"))
        .subcommand(
            Command::new("token")
                .about("Print a user token, signed with TIDINGS_JWT_SECRET")
                .arg(Arg::new("user").value_name("USER").required(true).help("Whose inbox it opens"))
                .arg(
                    Arg::new("ttl")
                        .long("ttl-seconds")
                        .value_name("SECONDS")
                        .default_value("3600")
                        .value_parser(clap::value_parser!(u64).range(1..))
                        .help("How long it holds"),
                ),
        )
        .subcommand(
            Command::new("backup")
                .about("Copy the embedded store into a new file, whole and of one moment, also while it is served")
                .arg(Arg::new("file").value_name("FILE").required(true).help("Where to; must not exist")),
        )
        .subcommand(
            Command::new("restore")
                .about("Make the embedded store of a copy, in a TIDINGS_DATA_DIR that holds none")
                .arg(Arg::new("file").value_name("FILE").required(true).help("A file that backup wrote")),
        )
        .subcommand(
            Command::new("export")
                .about("Write everything that the store holds into a new file, for another store, also while it is served")
                .arg(Arg::new("file").value_name("FILE").required(true).help("Where to; must not exist; - is standard output")),
        )
        .subcommand(
            Command::new("import")
                .about("Fill an empty store from such a file, all of it or nothing; or from the original system's database")
                .arg(Arg::new("file").value_name("FILE").required_unless_present("original").help("A file that export wrote; - is standard input"))
                .arg(
                    Arg::new("original")
                        .long("from-original")
                        .value_name("URI")
                        .num_args(0..=1)
                        .conflicts_with("file")
                        .help("Take over the collection `notifications` of the original system, which stays as it is; without URI, the one at MONGODB_URI"),
                ),
        )
        .subcommand(
            Command::new("healthcheck").about("Ask the server on PORT whether it is ready; exit 0 if it is"),
        )
        .subcommand(tidings_bench::Options::augment_args(
            Command::new("bench").about("Load a server as clients do, and print what it reached"),
        ))
}

/// Reads the command line, the environment and `.env`. Prints help and ends the process when that was asked for.
pub fn parse() -> Result<Task, ConfigError> {
    let matches = command().get_matches();
    if let Some(("bench", bench)) = matches.subcommand() {
        use clap::FromArgMatches as _;
        let options = tidings_bench::Options::from_arg_matches(bench)
            .map_err(|error| ConfigError(error.to_string()))?;
        return Ok(Task::Bench(Box::new(options)));
    }
    let inner = matches.subcommand().map_or(&matches, |(_, inner)| inner);
    let file = read_env_file(Path::new(".env"))?;
    check_environment(std::env::vars_os())?;
    let values = resolve(&flags(inner), |name| std::env::var(name).ok(), &file.values);
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let remarks = Remarks { strangers: strangers(names, &file.values), skipped_lines: file.skipped };
    Ok(match matches.subcommand_name() {
        Some("config") => Task::ShowConfig(values, remarks),
        Some("token") => {
            let user = inner.get_one::<String>("user").map_or("", String::as_str);
            let user = UserId::new(user).map_err(|invalid| ConfigError(invalid.to_string()))?;
            let ttl = Duration::from_secs(inner.get_one::<u64>("ttl").copied().unwrap_or(3600));
            Task::Token(Box::new(Config::from_values(&values)?), user, ttl)
        }
        Some("import") if inner.contains_id("original") => {
            let uri = inner.get_one::<String>("original").map(|uri| SecretString::from(uri.as_str()));
            Task::ImportOriginal(Box::new(Config::from_values(&values)?), uri)
        }
        Some(name @ ("backup" | "restore" | "export" | "import")) => {
            let file = inner.get_one::<String>("file").map(PathBuf::from).unwrap_or_default();
            let config = Box::new(Config::from_values(&values)?);
            match name {
                "backup" => Task::Backup(config, file),
                "restore" => Task::Restore(config, file),
                "export" => Task::Export(config, file),
                _ => Task::Import(config, file),
            }
        }
        Some("healthcheck") => Task::Healthcheck(Box::new(Config::from_values(&values)?)),
        _ => Task::Serve(Box::new(Config::from_values(&values)?), remarks),
    })
}

fn flags(matches: &ArgMatches) -> HashMap<&'static str, String> {
    SETTINGS
        .iter()
        .filter_map(|setting| Some((setting.env, matches.get_one::<String>(setting.env)?.clone())))
        .collect()
}

/// The effective settings as lines that could stand in a `.env`, without what is secret.
pub fn show(values: &[Value]) -> String {
    let mut out = String::new();
    for Value { setting, text, origin } in values {
        let shown = match text.is_empty() {
            true if setting.env == "TIDINGS_BIND" && is_open(values) => "127.0.0.1".into(),
            true if setting.env == "TIDINGS_BIND" => "0.0.0.0".into(),
            _ => quoted(setting.shown(text)),
        };
        out.push_str(&format!("{}={shown}  # {origin}\n", setting.env));
    }
    out
}

/// In quotes, where it would otherwise not be read again as it is.
fn quoted(text: Cow<'_, str>) -> Cow<'_, str> {
    let quotes = ['\'', '`', '"'];
    if !text.contains(|c: char| c == '#' || c.is_control() || quotes.contains(&c)) {
        return text;
    }
    match quotes.into_iter().find(|quote| !text.contains(*quote)) {
        Some(quote) => format!("{quote}{text}{quote}").into(),
        None => text,
    }
}

/// Writes to standard output; a closed pipe is no error worth a panic.
pub fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    std::io::stdout().lock().write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_config_prints_is_read_again_as_it_was() {
        for text in ["./data", "/a #b", "it's", "a\"'b", "a\nb"] {
            let line = format!("A={}  # the default", quoted(text.into()));
            assert_eq!(crate::config::parse_env(&line), [("A".to_owned(), text.to_owned())], "{line}");
        }
    }

    #[test]
    fn of_many_lines_that_cannot_be_read_the_first_ones_are_named() {
        let remarks = Remarks { skipped_lines: (1..=1_000).collect(), ..Remarks::default() };
        let said = remarks.on_skipped_lines();
        assert_eq!(said.len(), 21);
        assert!(said[19].starts_with("line 20 ") && said[20].starts_with("980 more"), "{said:?}");
    }
}
