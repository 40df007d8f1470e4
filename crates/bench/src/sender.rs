use crate::clock::Clock;
use crate::http1::Connection;
use crate::ledger::Ledger;
use crate::payload::{self, Mark};
use crate::rng::Rng;
use crate::tickets::Tickets;
use std::cell::RefCell;
use std::rc::Rc;

/// A sender that gets no answer this often in a row gives up: the server is gone.
const GIVE_UP: u32 = 3;

/// One keep-alive connection that sends as long as there are tickets.
pub struct Sender {
    pub connection: Connection,
    pub tickets: Rc<Tickets>,
    pub ledger: Rc<RefCell<Ledger>>,
    pub clock: Clock,
    pub prefix: Rc<str>,
    pub users: u32,
    pub payload_bytes: usize,
    pub rng: Rng,
}

impl Sender {
    pub async fn run(mut self) {
        let mut body = Vec::new();
        let mut unanswered = 0;
        while unanswered < GIVE_UP {
            let Some(ticket) = self.tickets.draw().await else { return };
            let user = self.rng.below(self.users);
            let mark = Mark { number: ticket.number, sent_at: ticket.start };
            payload::write(&mut body, self.payload_bytes, &self.prefix, user, mark);
            let answer = self.connection.post("/v1/notifications", &body).await;
            let mut ledger = self.ledger.borrow_mut();
            match answer {
                Ok(answer) if answer.is_success() => {
                    unanswered = 0;
                    ledger.accepted(ticket.number, self.clock.now().saturating_sub(ticket.start));
                }
                Ok(answer) => {
                    unanswered = 0;
                    ledger.refused(|| answer.describe());
                }
                Err(error) => {
                    unanswered += 1;
                    ledger.unanswered(|| error.to_string());
                }
            }
        }
    }
}
