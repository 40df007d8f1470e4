use crate::input::notification::Refused;
use crate::input::{Fields, GivenCursor, Unknown, attach::given_cursor};
use tidings_domain::{DeviceId, Mark, MarkOp, MarkTarget, NotificationId, Revision, limits};

/// The body of a mark, over HTTP and over a socket.
pub fn read_mark(body: &str) -> Result<Mark, Refused> {
    let mut fields = Fields::of(body)?;
    let op = fields.required_text("op").and_then(|word| {
        let op = MarkOp::parse(&word);
        if op.is_none() {
            fields.wrong("op", "must be read, unread, seen, archive, unarchive or delete");
        }
        op
    });
    let good = fields.good();
    let ids = ids(&mut fields);
    let up_to = fields.number("up_to").map(MarkTarget::UpTo);
    let all = fields.flag("all");
    if all == Some(false) {
        fields.wrong("all", "can only be true");
    }
    let all = (all == Some(true)).then_some(MarkTarget::UpTo(Revision::MAX));
    let mut targets = [ids, up_to, all].into_iter().flatten();
    let target = targets.next();
    if targets.next().is_some() {
        fields.wrong("ids", "only one of ids, up_to and all can be given");
    } else if target.is_none() && good && fields.good() {
        fields.wrong("ids", "one of ids, up_to and all is required");
    }
    let category = fields.text("category");
    if category.as_ref().is_some_and(|category| !(1..=limits::CATEGORY_BYTES).contains(&category.len())) {
        fields.wrong("category", format!("must be 1 to {} bytes", limits::CATEGORY_BYTES));
    }
    fields.finish(Unknown::Refuse)?;
    match (op, target) {
        (Some(op), Some(target)) => Ok(Mark { op, target, category }),
        // Reported above; this is for the compiler.
        _ => Err(tidings_domain::Invalid::one("op", "is required").into()),
    }
}

fn ids(fields: &mut Fields<'_>) -> Option<MarkTarget> {
    let texts = fields.texts("ids", limits::MARK_IDS)?;
    // What is no id here (a client's own, or one of another system) is unknown like any other: ignored.
    let mut ids: Vec<_> = texts.iter().filter_map(|text| NotificationId::parse(text)).collect();
    ids.sort_unstable();
    ids.dedup();
    Some(MarkTarget::Ids(ids))
}

/// `{"rev", "device_id"?}`: everything up to `rev` has arrived.
pub fn read_ack(body: &str) -> Result<(Revision, Option<DeviceId>), Refused> {
    let mut fields = Fields::of(body)?;
    let rev = fields.number("rev");
    if rev.is_none() && fields.good() {
        fields.wrong("rev", "is required");
    }
    let device = fields.text("device_id").and_then(|text| match DeviceId::new(&text) {
        Ok(device) => Some(device),
        Err(invalid) => {
            fields.absorb(invalid);
            None
        }
    });
    fields.finish(Unknown::Refuse)?;
    Ok((rev.unwrap_or_default(), device))
}

/// `{"cursor", "epoch"}`: send again from here.
pub fn read_sync(body: &str) -> Result<GivenCursor, Refused> {
    let mut fields = Fields::of(body)?;
    let given = given_cursor(&mut fields);
    if given.is_none() && fields.good() {
        fields.wrong("cursor", "is required");
    }
    fields.finish(Unknown::Refuse)?;
    Ok(given.unwrap_or(GivenCursor { epoch: None, rev: 0, unserved: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_target() {
        let id = "0198c0de-0000-7000-8000-000000000001";
        let mark = read_mark(&format!(r#"{{"op":"read","ids":["{id}","{id}"],"category":"c"}}"#)).unwrap();
        assert!(matches!(mark.target, MarkTarget::Ids(ids) if ids.len() == 1));
        assert_eq!(read_mark(r#"{"op":"seen","up_to":3}"#).unwrap().target, MarkTarget::UpTo(3));
        assert_eq!(read_mark(r#"{"op":"archive","all":true}"#).unwrap().target, MarkTarget::UpTo(u64::MAX));
    }

    #[test]
    fn what_is_no_id_here_is_an_unknown_one() {
        let id = "0198c0de-0000-7000-8000-000000000001";
        let body = format!(r#"{{"op":"read","ids":["tmp-1","{id}","507f1f77bcf86cd799439011",""]}}"#);
        let known = NotificationId::parse(id).unwrap();
        assert_eq!(read_mark(&body).unwrap().target, MarkTarget::Ids(vec![known]));
        assert_eq!(
            read_mark(r#"{"op":"read","ids":["tmp-1"]}"#).unwrap().target,
            MarkTarget::Ids(Vec::new())
        );
    }

    #[test]
    fn refuses_the_unclear() {
        for (body, field) in [
            (r#"{"op":"read"}"#, "ids"),
            (r#"{"ids":[]}"#, "op"),
            (r#"{"op":"burn","all":true}"#, "op"),
            (r#"{"op":"read","all":false}"#, "all"),
            (r#"{"op":"read","all":true,"up_to":3}"#, "ids"),
            (r#"{"op":"read","ids":["x",7]}"#, "ids"),
            (r#"{"op":"read","ids":[null]}"#, "ids"),
            (r#"{"op":"read","up_to":-1}"#, "up_to"),
            (r#"{"op":"read","up_to":1,"x":1}"#, "x"),
            (r#"{"op":"read","up_to":1,"category":""}"#, "category"),
        ] {
            match read_mark(body) {
                Err(Refused::Invalid(invalid)) => assert_eq!(invalid.0[0].field, field, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }
}
