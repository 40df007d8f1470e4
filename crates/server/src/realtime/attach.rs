use crate::app::App;
use crate::input::GivenCursor;
use crate::realtime::Pump;
use crate::realtime::hub::Crowded;
use serde::Serialize;
use tidings_domain::{Counts, Cursor, DeviceId, Epoch, Mode, RESUME_REACH, Revision, Start, UserId};
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
}

impl Attached {
    /// What the client is told, with the cursor as it stands now.
    pub fn ready(&self, epoch: &Epoch) -> Ready {
        Ready {
            ok: true,
            user_id: self.pump.user().clone(),
            device_id: self.device.clone(),
            epoch: epoch.clone(),
            cursor: self.pump.cursor(),
            head: self.located.head.max(self.pump.head()),
            mode: self.start.mode,
            counts: self.located.counts,
        }
    }
}

impl Ready {
    /// Where the device starts, as the offset that an official client keeps.
    pub fn offset(&self) -> String {
        Cursor { epoch: self.epoch.clone(), rev: self.cursor }.to_string()
    }
}

/// Attaches a device: joins the hub, reads where the inbox stands, finds the start, and makes the device known. In this
/// order; the pump's page says why.
pub async fn attach(app: &App, given: Given) -> Result<Attached, AttachError> {
    let Given { user, device, pid, cursor, transport } = given;
    let seat = app.hub.join(&user, device.clone(), transport, app.limits.sockets_per_user)?;
    let located = app.store.locate(&user, Some(&device)).await?;
    let (start, resync) = match find_start(app, &user, cursor, &located).await {
        Ok(start) => (start, None),
        Err(StoreError::ResyncRequired(reason)) => {
            (Start { cursor: located.head, mode: Mode::Snapshot }, Some(reason))
        }
        Err(error) => return Err(error.into()),
    };
    let registration = Registration { device_id: device.clone(), pid, start: start.cursor, transport };
    if let Err(error) = app.store.register(&user, registration).await {
        // A full disk must not keep anybody from reading: the device is served, only not remembered.
        tracing::warn!(user.id = %user, %error, "a device could not be remembered");
    }
    let pump = Pump::new(app.store.clone(), seat, start.cursor, located.head);
    Ok(Attached { pump, device, start, resync, located })
}

/// Where a device starts; `ResyncRequired` when the cursor that it goes by cannot be resumed.
async fn find_start(
    app: &App,
    user: &UserId,
    given: Option<GivenCursor>,
    located: &Located,
) -> Result<Start, StoreError> {
    let cursor = match (given, located.device) {
        (Some(given), _) => resumable(app, &given)?,
        (None, Some(known)) => known,
        (None, None) => return pending(app, user, located).await,
    };
    check_reach(app, user, cursor, located).await?;
    Ok(Start { cursor, mode: Mode::Resume })
}

fn resumable(app: &App, given: &GivenCursor) -> Result<Revision, StoreError> {
    match &given.epoch {
        Some(epoch) if epoch != app.store.epoch().as_str() => {
            Err(StoreError::ResyncRequired(Resync::OtherEpoch))
        }
        _ => Ok(given.rev),
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

/// Whether a cursor that a client gave can be resumed, and where it stands.
pub async fn check_given(
    app: &App,
    user: &UserId,
    given: &GivenCursor,
    located: &Located,
) -> Result<Revision, StoreError> {
    let cursor = resumable(app, given)?;
    check_reach(app, user, cursor, located).await?;
    Ok(cursor)
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
