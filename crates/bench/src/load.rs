use crate::clock::Clock;
use crate::crowd::Gathering;
use crate::error::BenchError;
use crate::http1::Connection;
use crate::ledger::Ledger;
use crate::meter::{Beside, Meter};
use crate::options::{Crowd, Latency, Send, Server};
use crate::report::{LoadReport, Percentiles, ServerCost};
use crate::rng::Rng;
use crate::sender::Sender;
use crate::target::{Endpoint, Target};
use crate::tickets::Tickets;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;

/// A run that sends.
pub struct Plan {
    scenario: &'static str,
    users: u32,
    senders: u16,
    sends: u64,
    rate: Option<u32>,
    payload_bytes: u16,
    seed: u64,
    crowd: Crowd,
}

impl From<&Send> for Plan {
    fn from(send: &Send) -> Self {
        Self {
            scenario: "send",
            users: send.users,
            senders: send.senders,
            sends: u64::from(send.sends),
            rate: send.rate,
            payload_bytes: send.payload_bytes,
            seed: send.seed,
            crowd: send.crowd.clone(),
        }
    }
}

impl From<&Latency> for Plan {
    fn from(latency: &Latency) -> Self {
        Self {
            scenario: "latency",
            users: latency.users,
            senders: latency.senders,
            sends: u64::from(latency.rate) * u64::from(latency.seconds),
            rate: Some(latency.rate),
            payload_bytes: latency.payload_bytes,
            seed: latency.seed,
            crowd: latency.crowd.clone(),
        }
    }
}

/// A name that no run before had, so that the users' inboxes are new.
pub fn fresh_prefix() -> Rc<str> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}", since.as_micros()).into()
}

/// Brings the users online, sends, waits for every notification, and says how it went.
pub async fn run(plan: &Plan, server: &Server) -> Result<LoadReport, BenchError> {
    let target = Target::open(server)?;
    let fsync = target.fsync_time()?;
    let clock = Clock::start();
    let ledger = Rc::new(RefCell::new(Ledger::new(plan.sends)));
    let gathering = Gathering {
        endpoint: Rc::clone(target.endpoint()),
        crowd: plan.crowd.clone(),
        prefix: fresh_prefix(),
        ledger: Rc::clone(&ledger),
        clock,
    };
    let attendance = gathering.gather(plan.users).await;
    if attendance.lost > 0 {
        let first = attendance.first_failure.unwrap_or_default();
        return Err(BenchError::Registration { lost: attendance.lost, wanted: plan.users, first });
    }

    let connections = connect(plan, target.endpoint()).await?;

    let progress = tokio::task::spawn_local(show_progress(Rc::clone(&ledger), plan.sends));
    let meter = Meter::start(&target)?;
    let start = clock.now();
    send_all(plan, &gathering, connections).await?;
    let sent = clock.now();
    wait_for_receipts(&ledger, Duration::from_secs(u64::from(plan.crowd.silence))).await;
    let end = ledger.borrow().last_received_at.max(sent);
    let beside = meter.beside(&target)?;
    progress.abort();
    tokio::time::sleep(Duration::from_secs(u64::from(plan.crowd.settle))).await;

    let ledger = ledger.borrow();
    let cost = meter.server(&target, ledger.tally.accepted)?;
    Ok(report(plan, &ledger, (end - start) as f64 / 1e9, cost, beside, fsync))
}

fn report(
    plan: &Plan,
    ledger: &Ledger,
    seconds: f64,
    server: Option<ServerCost>,
    beside: Beside,
    fsync: Option<Duration>,
) -> LoadReport {
    LoadReport {
        scenario: plan.scenario,
        users: plan.users,
        senders: plan.senders,
        rate: plan.rate,
        payload_bytes: plan.payload_bytes,
        acks: plan.crowd.acks,
        sends: plan.sends,
        accepted: ledger.tally.accepted,
        refused: ledger.tally.refused,
        unanswered: ledger.tally.unanswered,
        received: ledger.tally.received,
        lost: ledger.lost(),
        duplicates: ledger.tally.duplicates,
        out_of_order: ledger.tally.out_of_order,
        gaps: ledger.tally.gaps,
        disconnected: ledger.tally.disconnected,
        first_failure: ledger.first_failure.clone(),
        seconds,
        sends_per_second: ledger.tally.accepted as f64 / seconds.max(f64::EPSILON),
        post_ms: Percentiles::from(&ledger.post),
        end_to_end_ms: Percentiles::from(&ledger.end_to_end),
        server,
        client_cpu_seconds: beside.own,
        other_cpu_seconds: beside.others,
        fsync_ms: fsync.map(|time| time.as_secs_f64() * 1e3),
    }
}

/// Opens the senders' connections, so that no send pays for it.
async fn connect(plan: &Plan, endpoint: &Rc<Endpoint>) -> Result<Vec<Connection>, BenchError> {
    let open = |_| async {
        let mut connection = Connection::new(Rc::clone(endpoint));
        connection.open().await.map(|()| connection)
    };
    let opening =
        stream::iter(0..plan.senders).map(open).buffer_unordered(usize::from(plan.crowd.connecting));
    let opened: Result<Vec<_>, std::io::Error> = opening.try_collect().await;
    opened.map_err(|error| BenchError::NotServing {
        address: endpoint.address.clone(),
        reason: error.to_string(),
    })
}

async fn send_all(
    plan: &Plan,
    gathering: &Gathering,
    connections: Vec<Connection>,
) -> Result<(), BenchError> {
    let tickets = Rc::new(match plan.rate {
        Some(rate) => Tickets::paced(plan.sends, rate, gathering.clock).map_err(BenchError::Thread)?,
        None => Tickets::greedy(plan.sends, gathering.clock),
    });
    let mut senders = JoinSet::new();
    for (index, connection) in connections.into_iter().enumerate() {
        let sender = Sender {
            connection,
            tickets: Rc::clone(&tickets),
            ledger: Rc::clone(&gathering.ledger),
            clock: gathering.clock,
            prefix: Rc::clone(&gathering.prefix),
            users: plan.users,
            payload_bytes: usize::from(plan.payload_bytes),
            rng: Rng::new(plan.seed.wrapping_mul(65_537).wrapping_add(index as u64)),
        };
        senders.spawn_local(sender.run());
    }
    while senders.join_next().await.is_some() {}
    let ledger = gathering.ledger.borrow();
    if ledger.tally.accepted == 0 {
        return Err(BenchError::NotServing {
            address: gathering.endpoint.address.clone(),
            reason: ledger.first_failure.clone().unwrap_or_default(),
        });
    }
    Ok(())
}

/// Until everything accepted was received, or nothing new was for this long.
async fn wait_for_receipts(ledger: &RefCell<Ledger>, limit: Duration) {
    const LOOK: Duration = Duration::from_millis(5);
    let mut received = ledger.borrow().tally.received;
    let mut silence = Duration::ZERO;
    while ledger.borrow().lost() > 0 && silence < limit {
        tokio::time::sleep(LOOK).await;
        let now = ledger.borrow().tally.received;
        silence = if now == received { silence + LOOK } else { Duration::ZERO };
        received = now;
    }
}

async fn show_progress(ledger: Rc<RefCell<Ledger>>, sends: u64) {
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let tally = ledger.borrow().tally.clone();
        eprintln!("{} of {sends} accepted, {} received", tally.accepted, tally.received);
    }
}
