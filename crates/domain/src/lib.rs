//! What a notification inbox *is*: the notification, the user's inbox with its revisions, the cursors that devices
//! hold, the changes of state and which of them are legal, and the limits. Nothing here does I/O or reads a clock.

mod attach;
mod change;
mod clock;
mod content;
mod cursor;
mod epoch;
mod ids;
mod invalid;
mod mark;
mod moved;
mod notification;
mod timestamp;
mod unserved;
mod wire_size;

pub use attach::{Mode, RESUME_REACH, Start};
pub use change::{Change, Counts, Kind};
pub use clock::{Clock, SystemClock};
pub use content::{Action, Content, Priority, limits};
pub use cursor::{Cursor, CursorError, Revision};
pub use epoch::{Epoch, EpochError, Relation};
pub use ids::{DeviceId, NotificationId, UserId};
pub use invalid::{FieldError, Invalid};
pub use mark::{Mark, MarkOp, MarkTarget, Reach};
pub use moved::Moved;
pub use notification::{Entry, Notification, State, Status, Tombstone};
pub use timestamp::Timestamp;
pub use unserved::Unserved;
