//! Which pages may talk to the server, and by which of its names.

use crate::config::{ConfigError, Value, find, text, wrong};

/// `TIDINGS_ALLOWED_ORIGINS`.
pub fn origins(values: &[Value], is_open: bool) -> Result<Vec<String>, ConfigError> {
    const ENV: &str = "TIDINGS_ALLOWED_ORIGINS";
    list(text(values, ENV))
        .map(|origin| {
            if !(is_origin(origin) || matches!(origin, "null" | "*")) {
                return Err(wrong(
                    find(values, ENV),
                    "a list of origins as clients send them, like https://app.example.com or capacitor://localhost",
                ));
            }
            if is_open && matches!(origin, "null" | "*") {
                return Err(ConfigError(format!(
                    "{ENV} names {origin:?}, which any page can have, while no key is configured: every page that somebody \
                     here visits could read and send everything; configure a key, or name your origins"
                )));
            }
            Ok(origin.to_owned())
        })
        .collect()
}

/// `TIDINGS_ALLOWED_HOSTS`.
pub fn hosts(values: &[Value]) -> Result<Vec<String>, ConfigError> {
    const ENV: &str = "TIDINGS_ALLOWED_HOSTS";
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    list(text(values, ENV))
        .map(|host| match host.strip_suffix('.').unwrap_or(host) {
            name if is_name(name) => Ok(name.to_owned()),
            _ => Err(wrong(find(values, ENV), "a list of host names without a port, like tidings.lan")),
        })
        .collect()
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// A scheme and who is meant by it, without a path: what a client can send in `Origin`. Only where a scheme's origins
/// have no host (`file://`) may that be empty.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let is_web = matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https");
    let host = rest.strip_suffix('/').unwrap_or(rest);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte))
        && !(is_web && host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolve;
    use std::collections::HashMap;

    fn values(env: &str, text: &str) -> Vec<Value> {
        let given = HashMap::from([(env.to_owned(), text.to_owned())]);
        resolve(&HashMap::new(), |name| given.get(name).cloned(), &HashMap::new())
    }

    #[test]
    fn an_origin_of_any_scheme_is_taken() {
        let every = "https://app.example.com, capacitor://localhost,ionic://localhost, tauri://localhost, app://., \
                     chrome-extension://abcdef, http://[::1]:8080, file://, https://app.example.com:8443/";
        for is_open in [true, false] {
            let read = origins(&values("TIDINGS_ALLOWED_ORIGINS", every), is_open).unwrap();
            assert_eq!(read.len(), 9);
        }
    }

    #[test]
    fn what_no_client_can_send_is_refused() {
        for text in [
            "app.example.com",
            "https://",
            "https://*.example.com",
            "https://a.example/page",
            "https://u@a",
            "://a",
        ] {
            let error = origins(&values("TIDINGS_ALLOWED_ORIGINS", text), false).unwrap_err();
            assert!(error.0.contains("TIDINGS_ALLOWED_ORIGINS"), "{text}: {error}");
        }
    }

    #[test]
    fn every_page_is_allowed_only_with_a_key() {
        for text in ["*", "null", "https://app.example.com, null"] {
            let values = values("TIDINGS_ALLOWED_ORIGINS", text);
            assert!(origins(&values, false).is_ok(), "{text}");
            let error = origins(&values, true).unwrap_err();
            assert!(
                error.0.contains("TIDINGS_ALLOWED_ORIGINS") && error.0.contains("key"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn hosts_are_names() {
        let read = hosts(&values("TIDINGS_ALLOWED_HOSTS", "tidings.lan, Tidings-1.example.com.")).unwrap();
        assert_eq!(read, ["tidings.lan", "Tidings-1.example.com"]);
        for text in ["tidings.lan:3000", "https://tidings.lan", "*", "*.lan", "[::1]"] {
            let error = hosts(&values("TIDINGS_ALLOWED_HOSTS", text)).unwrap_err();
            assert!(error.0.contains("TIDINGS_ALLOWED_HOSTS"), "{text}: {error}");
        }
    }
}
