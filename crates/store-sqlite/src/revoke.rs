use crate::failure::Failure;
use crate::transaction::Tx;
use crate::writer::Operation;
use rusqlite::{Connection, OptionalExtension};
use tidings_domain::{Timestamp, UserId};

/// The user's sessions end. It makes no inbox: a token may be older than its user's first notification. No upkeep removes it:
/// nothing bounds how long a token is valid.
pub(crate) struct Revoke {
    pub user: UserId,
    pub at: Timestamp,
}

impl Operation for Revoke {
    type Answer = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        tx.conn
            .prepare_cached(
                "INSERT INTO revocation (user_id, at) VALUES (?1, ?2) \
                 ON CONFLICT (user_id) DO UPDATE SET at = max(at, excluded.at)",
            )?
            .execute((self.user.as_str(), self.at.as_millis()))?;
        Ok(())
    }
}

/// Ends that lie ahead move back.
pub(crate) struct PullBack {
    pub user: Option<UserId>,
    pub ahead_of: Timestamp,
    pub to: Timestamp,
}

impl Operation for PullBack {
    type Answer = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let (ahead_of, to) = (self.ahead_of.as_millis(), self.to.as_millis());
        match &self.user {
            Some(user) => tx
                .conn
                .prepare_cached("UPDATE revocation SET at = ?1 WHERE user_id = ?2 AND at > ?3")?
                .execute((to, user.as_str(), ahead_of))?,
            None => tx
                .conn
                .prepare_cached("UPDATE revocation SET at = ?1 WHERE at > ?2")?
                .execute((to, ahead_of))?,
        };
        Ok(())
    }
}

/// When the user's sessions were last ended.
pub(crate) fn revoked_at(conn: &Connection, user: &UserId) -> Result<Option<Timestamp>, Failure> {
    let at = conn
        .prepare_cached("SELECT at FROM revocation WHERE user_id = ?1")?
        .query_row([user.as_str()], |row| row.get(0))
        .optional()?;
    Ok(at.map(Timestamp::from_millis))
}
