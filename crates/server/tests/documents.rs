//! Documents that are made from the code are committed, and compared here. `TIDINGS_WRITE_DOCUMENTS=1` writes them anew.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

use std::fmt::Write as _;
use std::path::Path;
use tidings::config::SETTINGS;

fn configuration() -> String {
    let mut text = String::from(
        "# Configuration\n\nFlags over environment over the file `.env` in the working folder over defaults; an empty value \
         is as good as none.\n`tidings config` prints what is in force and where it comes from. Made from \
         `crates/server/src/config/settings.rs`.\n\n`.env` is read as \
         dotenv 16 reads it: `NAME=value` or `NAME: value`, perhaps after `export`; `$` means nothing; `#` begins a comment \
         outside\nquotes; values in single or double quotes or backticks may span lines, and `\\n` and `\\r` are expanded in double \
         quotes only. A line\nthat cannot be read is skipped with a warning; one that is meant for a setting of this table refuses \
         the start.\n\n| environment | flag | default | |\n|---|---|---|---|\n",
    );
    for setting in SETTINGS {
        let default = if setting.default.is_empty() { "unset" } else { setting.default };
        let _ =
            writeln!(text, "| `{}` | `--{}` | {default} | {} |", setting.env, setting.flag(), setting.help);
    }
    text
}

#[test]
fn the_table_of_settings_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let made = configuration();
    if std::env::var_os("TIDINGS_WRITE_DOCUMENTS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "docs/configuration.md is out of date: run with TIDINGS_WRITE_DOCUMENTS=1");
}
