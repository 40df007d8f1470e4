use crate::input::notification::Refused;
use crate::input::{Fields, Unknown};
use tidings_domain::{Cursor, DeviceId, Invalid, Revision, Unserved, UserId};

/// A cursor as a client gave it; without an epoch it is of the present one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenCursor {
    /// The life of the inbox it belongs to; any text, since a foreign one is answered with a resync.
    pub epoch: Option<String>,
    /// Everything up to here is known to the client.
    pub rev: Revision,
    /// What of it has not come as new. `None`: a number cannot say.
    pub unserved: Option<Unserved>,
}

impl From<Cursor> for GivenCursor {
    fn from(Cursor { epoch, rev, unserved }: Cursor) -> Self {
        Self { epoch: Some(epoch.to_string()), rev, unserved: Some(unserved) }
    }
}

/// What a client says of itself when it attaches: the `auth` of a CONNECT, or the argument of `register_user`.
#[derive(Debug, Clone, Default)]
pub struct Attach {
    /// A user token.
    pub token: Option<String>,
    /// Whose inbox.
    pub user_id: Option<UserId>,
    /// Which device.
    pub device_id: Option<DeviceId>,
    /// Where the client stands.
    pub cursor: Option<GivenCursor>,
    /// Whether the client confirms by `ack_notifications`.
    pub acks: bool,
    /// The connection's former name, which an official client sends by itself.
    pub pid: Option<String>,
    /// The last offset that an official client kept by itself.
    pub offset: Option<Cursor>,
}

impl Attach {
    /// Reads the `auth` of a CONNECT. Fields that an application put there for itself are let be.
    pub fn from_auth(auth: &str) -> Result<Self, Refused> {
        let mut fields = Fields::of(auth)?;
        let mut attach = Self::read(&mut fields);
        attach.pid = fields.text("pid").filter(|pid| pid.len() <= 128);
        // An offset is whatever string came last in any event: one that is not ours says nothing.
        attach.offset = fields.text("offset").and_then(|offset| offset.parse().ok());
        fields.finish(Unknown::Ignore)?;
        Ok(attach)
    }

    /// Reads the argument of `register_user`: a user's id, or the same object as in `auth`. As on the original's routes, a
    /// number or boolean is an id too, as its text.
    pub fn from_argument(argument: &str) -> Result<Self, Refused> {
        let id = match argument.as_bytes().first() {
            Some(b'{') => None,
            Some(b'"') => Some(serde_json::from_str(argument).unwrap_or_default()),
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => Some(argument.to_owned()),
            _ => return Err(Invalid::one("user_id", "must be a string, or an object with user_id").into()),
        };
        if let Some(id) = id {
            return Ok(Self { user_id: Some(UserId::new(&id)?), ..Self::default() });
        }
        let mut fields = Fields::of(argument)?;
        let user_id = fields.text_of_any("user_id");
        let mut attach = Self::read(&mut fields);
        attach.user_id = user_id.and_then(|text| kept(&mut fields, UserId::new(&text)));
        fields.finish(Unknown::Ignore)?;
        Ok(attach)
    }

    fn read(fields: &mut Fields<'_>) -> Self {
        let token = fields.text("token");
        let user_id = fields.text("user_id").and_then(|text| kept(fields, UserId::new(&text)));
        let device_id = fields.text("device_id").and_then(|text| kept(fields, DeviceId::new(&text)));
        let cursor = given_cursor(fields);
        let acks = fields.flag("acks").unwrap_or_default();
        Self { token, user_id, device_id, cursor, acks, pid: None, offset: None }
    }
}

fn kept<T>(fields: &mut Fields<'_>, value: Result<T, Invalid>) -> Option<T> {
    value.map_err(|invalid| fields.absorb(invalid)).ok()
}

/// `cursor` with its `epoch`, or alone as an event's offset, as it came.
pub(super) fn given_cursor(fields: &mut Fields<'_>) -> Option<GivenCursor> {
    let epoch = fields.text("epoch");
    if fields.is_text("cursor") {
        let cursor = fields.text("cursor")?.parse::<Cursor>();
        return cursor.map(Into::into).map_err(|error| fields.wrong("cursor", error.to_string())).ok();
    }
    let rev = fields.number("cursor")?;
    Some(GivenCursor { epoch, rev, unserved: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_an_object_registers() {
        assert_eq!(Attach::from_argument(r#""ana""#).unwrap().user_id.unwrap().as_str(), "ana");
        let attach =
            Attach::from_argument(r#"{"user_id":"ana","device_id":"d","cursor":4,"epoch":"e","acks":true}"#);
        let attach = attach.unwrap();
        assert_eq!(attach.cursor, Some(GivenCursor { epoch: Some("e".into()), rev: 4, unserved: None }));
        assert!(attach.acks && attach.device_id.is_some());
        let offset = Attach::from_argument(r#"{"user_id":"ana","cursor":"e:7;2"}"#).unwrap().cursor.unwrap();
        assert_eq!((offset.epoch.as_deref(), offset.rev), (Some("e"), 7));
        assert!(offset.unserved.unwrap().contains(2));
        for (argument, user) in [("42", "42"), ("true", "true"), (r#"{"user_id":42}"#, "42")] {
            assert_eq!(Attach::from_argument(argument).unwrap().user_id.unwrap().as_str(), user);
        }
        for bad in [
            "null",
            "[]",
            r#""..""#,
            r#"{"user_id":"."}"#,
            r#""""#,
            r#"{"user_id":""}"#,
            r#"{"user_id":"a","cursor":-1}"#,
            r#"{"user_id":"a","cursor":"7"}"#,
        ] {
            assert!(Attach::from_argument(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_official_client_sends_pid_and_offset() {
        let attach = Attach::from_auth(r#"{"pid":"p","offset":"e:7","mine":1}"#).unwrap();
        assert_eq!(attach.offset.unwrap().rev, 7);
        assert!(Attach::from_auth(r#"{"pid":"p","offset":"whatever"}"#).unwrap().offset.is_none());
    }
}
