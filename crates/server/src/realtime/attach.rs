use crate::app::App;
use crate::input::GivenCursor;
use crate::realtime::Pump;
use crate::realtime::hub::Crowded;
use serde::Serialize;
use tidings_domain::{
    Counts, DeviceId, Epoch, Mode, Moved, RESUME_REACH, Relation, Revision, Start, Unserved, UserId,
};
use tidings_store::{Located, Registration, Resync, StoreError};

/// Who attaches, and how.
pub struct Given {
    /// Whose inbox.
    pub user: UserId,
    /// Which device.
    pub device: DeviceId,
    /// The connection's name, which restores the registration.
    pub pid: Option<String>,
    /// Where the client stands, if it says so.
    pub cursor: Option<GivenCursor>,
    /// `websocket`, `polling` or `sse`.
    pub transport: &'static str,
}

/// An attached device: its reader, and where it starts.
pub struct Attached {
    /// The reader.
    pub pump: Pump,
    /// The device.
    pub device: DeviceId,
    /// Where it starts.
    pub start: Start,
    /// Why it starts at the head, when a cursor could not be resumed.
    pub resync: Option<Resync>,
    /// The inbox when it attached.
    pub located: Located,
}

/// Why a device could not attach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The user has too many sockets.
    #[error("this user has as many sockets as are allowed")]
    Crowded,
    /// The user's sessions were ended after the token was issued.
    #[error("the sessions of this user were ended; a new token is needed")]
    Revoked,
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Crowded> for AttachError {
    fn from(_: Crowded) -> Self {
        Self::Crowded
    }
}

/// What a client is told when it attached: the argument of `register_user`'s callback and of `inbox_ready`.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    ok: bool,
    user_id: UserId,
    device_id: DeviceId,
    epoch: Epoch,
    cursor: Revision,
    head: Revision,
    mode: Mode,
    #[serde(flatten)]
    counts: Counts,
    #[serde(skip)]
    offset: String,
}

impl Attached {
    /// What the client is told, with the cursor as it stands now.
    pub fn ready(&self) -> Ready {
        Ready {
            ok: true,
            user_id: self.pump.user().clone(),
            device_id: self.device.clone(),
            epoch: self.pump.epoch().clone(),
            cursor: self.pump.cursor(),
            head: self.located.head.max(self.pump.head()),
            mode: self.start.mode,
            counts: self.located.counts,
            offset: self.pump.offset(),
        }
    }

    /// Starts again above `start`, of an inbox that stands as `located` says.
    pub fn restart(&mut self, start: Start, unserved: &Unserved, resync: Option<Resync>, located: Located) {
        self.pump.restart(start.cursor, unserved);
        (self.start, self.resync, self.located) = (start, resync, located);
    }
}

impl Ready {
    /// Where the device starts, as the offset that an official client keeps.
    pub fn offset(&self) -> &str {
        &self.offset
    }
}

/// Attaches a device: joins the hub, reads where the inbox stands, finds the start, and makes the device known. In this
/// order; the pump's page says why.
pub async fn attach(app: &App, given: Given) -> Result<Attached, AttachError> {
    let Given { user, device, pid, cursor, transport } = given;
    let seat = app.hub.join(&user, device.clone(), transport, app.limits.sockets_per_user)?;
    let located = app.store.locate(&user, Some(&device)).await?;
    let (start, unserved, resync) = match find_start(app, &user, cursor, &located).await {
        Ok((start, unserved)) => (start, unserved, None),
        Err(StoreError::ResyncRequired(reason)) => {
            let start = Start { cursor: located.head, mode: Mode::Snapshot };
            (start, Unserved::default(), Some(reason))
        }
        Err(error) => return Err(error.into()),
    };
    let registration = Registration { device_id: device.clone(), pid, start: start.cursor, transport };
    if let Err(error) = app.store.register(&user, registration).await {
        // A full disk must not keep anybody from reading: the device is served, only not remembered.
        tracing::warn!(user.id = %user, %error, "a device could not be remembered");
    }
    let pump = Pump::new(app.store.clone(), seat, device.clone(), &located, start.cursor, &unserved);
    Ok(Attached { pump, device, start, resync, located })
}

/// Where a device starts, and what it has not had as new there; `ResyncRequired` when the cursor that it goes by cannot be
/// resumed. A cursor of another inbox is as none: a client that changed its user brings one along.
pub async fn find_start(
    app: &App,
    user: &UserId,
    given: Option<GivenCursor>,
    located: &Located,
) -> Result<(Start, Unserved), StoreError> {
    let (cursor, unserved) = match (of_this_inbox(app, user, given)?, located.device) {
        (Some(GivenCursor { rev, unserved, .. }), _) => (rev, unserved),
        (None, Some(known)) => (known, None),
        (None, None) => return Ok((pending(app, user, located).await?, Unserved::default())),
    };
    check_reach(app, user, cursor, located).await?;
    let noted = || located.resume.as_deref().map(|note| Moved::noted_at(note, cursor));
    let unserved = unserved.or_else(noted).unwrap_or_default();
    Ok((Start { cursor, mode: Mode::Resume }, unserved))
}

/// The cursor, if it is of this inbox and not of another one.
pub fn of_this_inbox(
    app: &App,
    user: &UserId,
    given: Option<GivenCursor>,
) -> Result<Option<GivenCursor>, StoreError> {
    let Some(epoch) = given.as_ref().and_then(|given| given.epoch.as_deref()) else { return Ok(given) };
    match app.store.relation(user, epoch) {
        Relation::Present => Ok(given),
        Relation::AnotherInbox => Ok(None),
        Relation::AnotherLife => Err(StoreError::ResyncRequired(Resync::OtherEpoch)),
    }
}

/// Whether everything above `cursor` can be served.
pub async fn check_reach(
    app: &App,
    user: &UserId,
    cursor: Revision,
    located: &Located,
) -> Result<(), StoreError> {
    let refused = if cursor > located.head {
        Some(Resync::AboveHead)
    } else if cursor < located.floor {
        Some(Resync::BelowFloor)
    } else if app.store.behind(user, cursor, RESUME_REACH + 1).await? > RESUME_REACH {
        Some(Resync::TooFarBehind)
    } else {
        None
    };
    refused.map_or(Ok(()), |reason| Err(StoreError::ResyncRequired(reason)))
}

async fn pending(app: &App, user: &UserId, located: &Located) -> Result<Start, StoreError> {
    let confirmed = located.confirmed.max(located.floor);
    let reach = Start::PENDING_REACH;
    let cursor = if app.store.behind(user, confirmed, reach + 1).await? > reach {
        app.store.reach_back(user, reach).await?
    } else {
        confirmed
    };
    Ok(Start { cursor, mode: Mode::Pending })
}
