use crate::draft::Draft;
use crate::failure::Failure;
use crate::mongo::Mongo;
use crate::turns::Turn;
use crate::tx::Tx;
use crate::writes::Writes;
use async_trait::async_trait;
use tidings_domain::{Change, UserId};
use tidings_store::StoreError;

/// Something that changes inboxes as one: thought out, then written whole or not at all.
#[async_trait]
pub(crate) trait Operation: Send + Sync + 'static {
    /// What its caller gets.
    type Answer: Send + 'static;

    /// Which inboxes it changes.
    fn users(&self) -> Vec<UserId>;

    /// Thinks it out, inbox by inbox: first the head, as far as this node knows it, then what else it needs, by `tx`. See
    /// [`Draft`] for why that holds.
    async fn plan(&self, tx: &mut Tx<'_>) -> Result<Plan<Self::Answer>, Failure>;
}

/// What an operation will do.
pub(crate) struct Plan<Answer> {
    /// To the inboxes.
    pub drafts: Vec<Draft>,
    /// What devices must learn, in order.
    pub changes: Vec<Change>,
    /// What is written with it.
    pub more: Writes,
    /// What its caller gets when that is done.
    pub answer: Answer,
}

impl<Answer> Plan<Answer> {
    /// Nothing is to be done.
    pub(crate) fn nothing(answer: Answer) -> Self {
        Self { drafts: Vec::new(), changes: Vec::new(), more: Writes::default(), answer }
    }

    /// One inbox changes, or not.
    pub(crate) fn of(mut draft: Draft, answer: Answer) -> Self {
        Self { changes: draft.take_changes(), drafts: vec![draft], more: Writes::default(), answer }
    }
}

/// Does it. `_turn` says that no other writer of this node is at these inboxes; of those of other nodes one wins, and the
/// others think again.
pub(crate) async fn perform<O: Operation>(
    mongo: &Mongo,
    operation: &O,
    _turn: &Turn,
) -> Result<O::Answer, StoreError> {
    let mut patience = mongo.patience();
    // Of which it is not known whether they were written.
    let mut uncertain: Vec<Plan<O::Answer>> = Vec::new();
    loop {
        let failure = match patience.within(attempt(mongo, operation, &mut uncertain)).await {
            Ok((answer, begun)) => {
                crate::visit::settle_begun(mongo, &begun).await;
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        operation.users().iter().for_each(|user| mongo.heads.forget(user));
        patience.pause(failure).await?;
    }
}

async fn attempt<O: Operation>(
    mongo: &Mongo,
    operation: &O,
    uncertain: &mut Vec<Plan<O::Answer>>,
) -> Result<(O::Answer, Vec<UserId>), Failure> {
    mongo.recover().await?;
    for index in 0..uncertain.len() {
        let Some(witness) = uncertain[index].drafts.iter().find_map(Draft::witness) else { continue };
        if mongo.is_written(witness).await? {
            return Ok(done(mongo, uncertain.swap_remove(index)));
        }
    }
    let mut tx = Tx::begin(mongo).await?;
    let mut plan = match operation.plan(&mut tx).await {
        Ok(plan) => plan,
        Err(failure) => {
            tx.abandon().await;
            return Err(failure);
        }
    };
    let mut writes = Writes::default();
    plan.drafts.iter().for_each(|draft| draft.write_statements(&mut writes));
    for draft in &plan.drafts {
        draft.write_revisions(&mut writes)?;
    }
    writes.append(std::mem::take(&mut plan.more));
    match tx.commit(writes).await {
        Ok(()) => Ok(done(mongo, plan)),
        Err(failure) => {
            if matches!(failure, Failure::Passing(_)) {
                uncertain.push(plan);
            }
            Err(failure)
        }
    }
}

/// The answer, and the users whose inboxes have something now and had nothing before.
fn done<Answer>(mongo: &Mongo, plan: Plan<Answer>) -> (Answer, Vec<UserId>) {
    let begun =
        plan.drafts.iter().filter(|draft| draft.is_first()).map(|draft| draft.user_id.clone()).collect();
    plan.drafts.iter().for_each(|draft| mongo.heads.learn(&draft.user_id, draft.head));
    mongo.announce(plan.changes);
    (plan.answer, begun)
}
