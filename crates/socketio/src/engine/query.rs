//! The query of a request.

use super::sid::Sid;
use crate::Transport;

/// What the protocol reads from it. The first of several equal names counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query<'a> {
    /// Of Engine.IO.
    pub(super) version: Option<&'a str>,
    pub(super) transport: Option<Transport>,
    /// Outer `None` if there is none, inner `None` if it cannot be one of ours.
    pub(super) sid: Option<Option<Sid>>,
}

impl<'a> Query<'a> {
    /// Nothing the protocol reads needs percent-decoding, so an encoded value simply is not known.
    pub(super) fn parse(query: &'a str) -> Self {
        let get = |name: &str| {
            query.split('&').find_map(|pair| pair.split_once('=').filter(|(n, _)| *n == name)).map(|(_, v)| v)
        };
        Self {
            version: get("EIO"),
            transport: match get("transport") {
                Some("polling") => Some(Transport::Polling),
                Some("websocket") => Some(Transport::Websocket),
                _ => None,
            },
            sid: get("sid").filter(|sid| !sid.is_empty()).map(Sid::parse),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_protocol_reads() {
        let query = Query::parse("EIO=4&transport=polling&t=abc");
        assert_eq!(query, Query { version: Some("4"), transport: Some(Transport::Polling), sid: None });
        let query = Query::parse("transport=websocket&EIO=3&sid=short");
        assert_eq!(
            query,
            Query { version: Some("3"), transport: Some(Transport::Websocket), sid: Some(None) }
        );
        let query = Query::parse("");
        assert_eq!(query, Query { version: None, transport: None, sid: None });
        assert!(Query::parse("sid=abcdefghijklmnopqrst").sid.is_some_and(|sid| sid.is_some()));
        assert_eq!(Query::parse("sid=").sid, None);
    }
}
