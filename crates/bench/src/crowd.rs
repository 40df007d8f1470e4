use crate::clock::Clock;
use crate::device::{Device, Habits, Identity};
use crate::http1::Connection;
use crate::ledger::Ledger;
use crate::options::Crowd;
use crate::payload::user_id;
use crate::target::Endpoint;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// What became of the devices that were to come online.
#[derive(Debug, Default)]
pub struct Attendance {
    /// How many got their inbox.
    pub registered: u32,
    /// How many did not.
    pub lost: u32,
    /// Why the first of them did not.
    pub first_failure: Option<String>,
}

/// What all devices of a run share.
pub struct Gathering {
    pub endpoint: Rc<Endpoint>,
    pub crowd: Crowd,
    pub prefix: Rc<str>,
    pub ledger: Rc<RefCell<Ledger>>,
    pub clock: Clock,
}

impl Gathering {
    /// Brings devices online, each as a user of its own, which then receive until the run ends. Done when each of them
    /// has registered or failed.
    pub async fn gather(&self, devices: u32) -> Attendance {
        let mut arrivals = stream::iter(0..devices)
            .map(|user| self.bring(user))
            .buffer_unordered(usize::from(self.crowd.connecting));
        let mut attendance = Attendance::default();
        while let Some(arrival) = arrivals.next().await {
            match arrival {
                Ok(()) => attendance.registered += 1,
                Err(reason) => {
                    attendance.lost += 1;
                    attendance.first_failure.get_or_insert(reason);
                }
            }
            let seen = attendance.registered + attendance.lost;
            if seen.is_multiple_of(1_000) || seen == devices {
                eprintln!(
                    "{} of {devices} devices online, {} failed",
                    attendance.registered, attendance.lost
                );
            }
        }
        attendance
    }

    async fn bring(&self, user: u32) -> Result<(), String> {
        let user_id = user_id(&self.prefix, user);
        let token = match self.endpoint.api_key {
            Some(_) => Some(self.mint(&user_id).await.map_err(|error| format!("no user token: {error}"))?),
            None => None,
        };
        let identity = Identity { user_id, device_id: "bench".to_owned(), token };
        let habits = Habits { attach: self.crowd.attach, acks: self.crowd.acks };
        let device =
            Device::register(&self.endpoint, &identity, habits).await.map_err(|error| error.to_string())?;
        let (ledger, clock) = (Rc::clone(&self.ledger), self.clock);
        tokio::task::spawn_local(async move {
            let error = device.receive(&ledger, clock).await;
            ledger.borrow_mut().disconnected(|| format!("a device was disconnected: {error}"));
        });
        Ok(())
    }

    async fn mint(&self, user_id: &str) -> io::Result<String> {
        let mut connection = Connection::new(Rc::clone(&self.endpoint));
        let answer = connection.post(&format!("/v1/users/{user_id}/tokens"), b"{}").await?;
        let body: Option<Value> = serde_json::from_slice(answer.body).ok();
        let token = body.as_ref().and_then(|body| body["token"].as_str());
        token.map(str::to_owned).ok_or_else(|| io::Error::other(answer.describe()))
    }
}
