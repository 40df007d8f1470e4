//! The key set over time: rotation, strangers, outages. A real server on loopback counts what it is asked; the clock is
//! turned by hand.

use crate::support::{Draft, KeySetServer, ManualClock, Reply, TIMING, jwk, key_path, key_set, with_key_set};
use futures_util::future::{join_all, poll_immediate};
use std::sync::Arc;
use std::time::Duration;
use tidings_auth::{Auth, JwksTiming, Refusal, Settings};
use tokio::sync::Semaphore;

const FLOOR: Duration = TIMING.floor;
const IMPATIENT: JwksTiming = JwksTiming { timeout: Duration::from_millis(50), ..TIMING };

fn set(names: &[&str]) -> String {
    key_set(&names.iter().map(|name| jwk(name, name)).collect::<Vec<_>>())
}

fn signed_by(key: &str) -> String {
    let algorithm = match key {
        "rsa" | "rsa-other" => "RS256",
        "p256" | "p256-other" => "ES256",
        _ => "EdDSA",
    };
    Draft::new(algorithm).header("kid", key).by(key).claim("exp", ManualClock::START + 1_000_000).token()
}

struct Scene {
    auth: Auth,
    clock: Arc<ManualClock>,
    server: KeySetServer,
}

impl Scene {
    async fn new(reply: Reply) -> Self {
        Self::with(reply, TIMING).await
    }

    async fn with(reply: Reply, timing: JwksTiming) -> Self {
        let server = KeySetServer::start(reply).await;
        let clock = Arc::new(ManualClock::new());
        let auth = with_key_set(&server, clock.clone(), timing).await;
        Self { auth, clock, server }
    }

    async fn check(&self, key: &str) -> Result<(), Refusal> {
        self.auth.check_token(&signed_by(key)).await.map(|_| ())
    }

    /// Polls until the background has done its part; across a socket there is nothing better to wait for.
    async fn until(&self, mut done: impl AsyncFnMut(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !done(self).await {
            assert!(tokio::time::Instant::now() < deadline, "it did not happen");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn is_fetched_at_the_start_and_then_kept() {
    let scene = Scene::new(Reply::Set(set(&["p256", "ed25519", "rsa"]))).await;
    for _ in 0..3 {
        for key in ["p256", "ed25519", "rsa"] {
            assert_eq!(scene.check(key).await, Ok(()));
        }
        scene.clock.advance(FLOOR);
    }
    assert_eq!(scene.server.requests(), 1);
}

#[tokio::test]
async fn a_new_key_is_fetched_when_its_first_token_comes() {
    let scene = Scene::new(Reply::Set(set(&["p256"]))).await;
    scene.server.now_replies(Reply::Set(set(&["p256", "p256-other"])));
    scene.clock.advance(FLOOR);
    assert_eq!(scene.check("p256-other").await, Ok(()));
    assert_eq!(scene.check("p256").await, Ok(()), "the old one while it is served");
    assert_eq!(scene.server.requests(), 2);
}

#[tokio::test]
async fn a_key_that_is_no_longer_served_is_dropped() {
    let scene = Scene::new(Reply::Set(set(&["p256"]))).await;
    scene.server.now_replies(Reply::Set(set(&["p256-other"])));
    scene.clock.advance(FLOOR);
    assert_eq!(scene.check("p256-other").await, Ok(()));
    assert_eq!(scene.check("p256").await, Err(Refusal::UnknownKey));
}

#[tokio::test]
async fn unknown_kids_cause_one_fetch_in_ten_seconds() {
    let scene = Scene::new(Reply::Set(set(&["p256"]))).await;
    let strange = |number: usize| Draft::new("ES256").header("kid", format!("strange-{number}")).token();
    for second in 0..60 {
        for number in 0..20 {
            let token = strange(second * 20 + number);
            assert_eq!(scene.auth.check_token(&token).await, Err(Refusal::UnknownKey));
        }
        assert_eq!(scene.server.requests(), 1 + second / 10, "in second {second}");
        scene.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(scene.check("p256").await, Ok(()));
}

#[tokio::test]
async fn the_floor_ends_in_its_millisecond() {
    let scene = Scene::new(Reply::Set(set(&["p256"]))).await;
    scene.server.now_replies(Reply::Set(set(&["p256-other"])));
    scene.clock.advance(FLOOR - Duration::from_millis(1));
    assert_eq!(scene.check("p256-other").await, Err(Refusal::UnknownKey));
    scene.clock.advance(Duration::from_millis(1));
    assert_eq!(scene.check("p256-other").await, Ok(()));
}

#[tokio::test]
async fn the_floor_holds_for_every_way_to_be_unknown() {
    let scene = Scene::new(Reply::Set(set(&["p256"]))).await;
    scene.clock.advance(FLOOR);
    for _ in 0..10 {
        let no_kid = Draft::new("ES256").without_header("kid").by("p256-other").token();
        assert_eq!(scene.auth.check_token(&no_kid).await, Err(Refusal::BadSignature));
        assert_eq!(scene.check("rsa").await, Err(Refusal::UnknownKey));
    }
    assert_eq!(scene.server.requests(), 2);
}

#[tokio::test]
async fn a_known_kid_with_a_bad_signature_causes_no_fetch() {
    let scene = Scene::new(Reply::Set(set(&["p256", "ed25519"]))).await;
    scene.clock.advance(FLOOR);
    let token = Draft::new("ES256").header("kid", "p256").by("p256-other").token();
    assert_eq!(scene.auth.check_token(&token).await, Err(Refusal::BadSignature));
    let token = Draft::new("ES256").header("kid", "ed25519").token();
    assert_eq!(scene.auth.check_token(&token).await, Err(Refusal::WrongAlgorithm));
    assert_eq!(scene.server.requests(), 1);
}

#[tokio::test]
async fn algorithms_that_no_served_key_can_have_cause_no_fetch() {
    let scene = Scene::new(Reply::Set(set(&["p256"]))).await;
    scene.clock.advance(FLOOR);
    for token in
        [Draft::new("HS256"), Draft::new("RS256").algorithm("RS512"), Draft::new("RS256").algorithm("none")]
    {
        assert_eq!(scene.auth.check_token(&token.token()).await, Err(Refusal::WrongAlgorithm));
    }
    assert_eq!(scene.server.requests(), 1);
}

#[tokio::test]
async fn a_token_without_kid_finds_its_key() {
    let scene = Scene::new(Reply::Set(set(&["p256-other", "p256"]))).await;
    let token = Draft::new("ES256").without_header("kid").token();
    assert!(scene.auth.check_token(&token).await.is_ok());
    scene.server.now_replies(Reply::Set(set(&["ed25519"])));
    scene.clock.advance(FLOOR);
    let token = Draft::new("EdDSA").without_header("kid").token();
    assert!(scene.auth.check_token(&token).await.is_ok(), "also a new one");
}

#[tokio::test]
async fn a_served_key_without_kid_takes_any() {
    let mut nameless = jwk("p256", "");
    nameless.as_object_mut().unwrap().remove("kid");
    let scene = Scene::new(Reply::Set(key_set(&[nameless, jwk("ed25519", "named")]))).await;
    assert_eq!(scene.check("p256").await, Ok(()));
    let token = Draft::new("ES256").without_header("kid").token();
    assert!(scene.auth.check_token(&token).await.is_ok());
}

#[tokio::test]
async fn two_keys_of_one_name_are_both_tried() {
    let scene = Scene::new(Reply::Set(key_set(&["p256-other", "p256"].map(|name| jwk(name, "same"))))).await;
    for key in ["p256", "p256-other"] {
        let token = Draft::new("ES256").header("kid", "same").by(key).token();
        assert!(scene.auth.check_token(&token).await.is_ok());
    }
}

#[tokio::test]
async fn an_outage_logs_nobody_out() {
    for outage in [
        Reply::HangUp,
        Reply::Status("503 Service Unavailable"),
        Reply::Status("404 Not Found"),
        Reply::Status("204 No Content"),
        Reply::Status("302 Found\r\nLocation: /other"),
        Reply::Set("garbage".into()),
        Reply::Set("[]".into()),
        Reply::Set("{}".into()),
        Reply::Set(r#"{"keys": {}}"#.into()),
        Reply::Set(format!(r#"{{"keys": [], "fill": "{}"}}"#, "x".repeat(300_000))),
        Reply::Flood,
    ] {
        let scene = Scene::new(Reply::Set(set(&["p256"]))).await;
        scene.server.now_replies(outage);
        for fetches in 2..5 {
            scene.clock.advance(TIMING.fresh_for);
            assert_eq!(scene.check("p256").await, Ok(()), "whoever has a known key");
            assert_eq!(scene.check("ed25519").await, Err(Refusal::Unavailable), "nobody knows");
            assert_eq!(scene.server.requests(), fetches);
        }
        scene.server.now_replies(Reply::Set(set(&["p256", "ed25519"])));
        assert_eq!(
            scene.check("ed25519").await,
            Err(Refusal::Unavailable),
            "the floor holds in an outage too"
        );
        scene.clock.advance(FLOOR);
        assert_eq!(scene.check("ed25519").await, Ok(()), "after the outage");
    }
}

#[tokio::test]
async fn a_server_that_is_away_at_the_start_is_not_fatal() {
    for outage in [Reply::HangUp, Reply::Status("500 Internal Server Error"), Reply::Set("garbage".into())] {
        let scene = Scene::new(outage).await;
        assert!(!scene.auth.is_open());
        assert_eq!(scene.check("p256").await, Err(Refusal::Unavailable));
        scene.server.now_replies(Reply::Set(set(&["p256"])));
        scene.clock.advance(FLOOR);
        assert_eq!(scene.check("p256").await, Ok(()));
        assert_eq!(scene.check("ed25519").await, Err(Refusal::UnknownKey), "now it is known to be unknown");
    }
}

#[tokio::test]
async fn nobody_listening_is_not_fatal() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    drop(listener);
    let settings = Settings {
        jwks_url: Some(url.into()),
        public_key_file: Some(key_path("rsa.public.pem")),
        ..Settings::default()
    };
    let auth = Auth::with_timing(settings, Arc::new(ManualClock::new()), TIMING).await.unwrap();
    assert_eq!(auth.check_token(&signed_by("p256")).await, Err(Refusal::Unavailable));
    assert!(auth.check_token(&signed_by("rsa")).await.is_ok(), "the key of the file needs no network");
}

#[tokio::test]
async fn a_slow_server_is_given_up() {
    for slowness in [Reply::Silence, Reply::HalfABody] {
        let scene = Scene::with(slowness, IMPATIENT).await;
        assert_eq!(scene.server.requests(), 1);
        scene.clock.advance(FLOOR);
        assert_eq!(scene.check("p256").await, Err(Refusal::Unavailable));
        assert_eq!(scene.server.requests(), 2);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = KeySetServer::start(Reply::Set(set(&["p256"]))).await;
    let location = format!("302 Found\r\nLocation: {}", elsewhere.url());
    let scene = Scene::new(Reply::Status(location.leak())).await;
    assert_eq!(scene.check("p256").await, Err(Refusal::Unavailable));
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn an_empty_set_revokes_all() {
    let scene = Scene::new(Reply::Set(set(&["p256"]))).await;
    scene.server.now_replies(Reply::Set(set(&[])));
    scene.clock.advance(FLOOR);
    assert_eq!(scene.check("ed25519").await, Err(Refusal::UnknownKey));
    assert_eq!(scene.check("p256").await, Err(Refusal::UnknownKey));
}

#[tokio::test]
async fn a_crowd_shares_one_fetch() {
    let scene = Scene::new(Reply::Set(set(&["p256"]))).await;
    let gate = Arc::new(Semaphore::new(0));
    scene.server.now_replies(Reply::After(gate.clone(), set(&["p256", "p256-other"])));
    scene.clock.advance(FLOOR);
    let crowd = join_all((0..50).map(|_| scene.check("p256-other")));
    let open_the_gate = async {
        scene.until(async |scene| scene.server.requests() == 2).await;
        // Even past the floor nobody begins a second one beside the first.
        scene.clock.advance(FLOOR);
        assert_eq!(scene.check("p256").await, Ok(()), "who needs nothing new does not wait");
        let mut late = Box::pin(scene.check("p256-other"));
        assert_eq!(poll_immediate(&mut late).await, None, "joins those who wait");
        gate.add_permits(1);
        late.await
    };
    let (crowd, late) = futures_util::future::join(crowd, open_the_gate).await;
    assert!(crowd.into_iter().all(|checked| checked == Ok(())));
    assert_eq!(late, Ok(()));
    assert_eq!(scene.server.requests(), 2);
}

#[tokio::test]
async fn hanging_up_does_not_stop_the_fetch() {
    let scene = Scene::new(Reply::Set(set(&["p256"]))).await;
    let gate = Arc::new(Semaphore::new(0));
    scene.server.now_replies(Reply::After(gate.clone(), set(&["p256-other"])));
    scene.clock.advance(FLOOR);
    assert_eq!(poll_immediate(Box::pin(scene.check("p256-other"))).await, None, "began, and gone");
    gate.add_permits(1);
    assert_eq!(scene.check("p256-other").await, Ok(()), "another one has the use of it");
    assert_eq!(scene.server.requests(), 2);
}

#[tokio::test]
async fn an_old_set_is_fetched_again_in_the_background() {
    let scene = Scene::new(Reply::Set(set(&["p256"]))).await;
    let gate = Arc::new(Semaphore::new(0));
    scene.server.now_replies(Reply::After(gate.clone(), set(&["ed25519"])));
    scene.clock.advance(TIMING.fresh_for - Duration::from_millis(1));
    assert_eq!(scene.check("p256").await, Ok(()));
    assert_eq!(scene.server.requests(), 1, "still fresh");
    scene.clock.advance(Duration::from_millis(1));
    assert_eq!(scene.check("p256").await, Ok(()), "does not wait for it");
    scene.until(async |scene| scene.server.requests() == 2).await;
    assert_eq!(scene.check("p256").await, Ok(()), "until it is there");
    gate.add_permits(1);
    // The withdrawn key ends without anybody presenting an unknown one.
    scene.until(async |scene| scene.check("p256").await == Err(Refusal::UnknownKey)).await;
    assert_eq!(scene.check("ed25519").await, Ok(()));
    assert_eq!(scene.server.requests(), 2);
}

#[tokio::test]
async fn a_clock_that_was_set_back_stops_nothing() {
    let scene = Scene::new(Reply::Set(set(&["p256"]))).await;
    scene.server.now_replies(Reply::Set(set(&["ed25519"])));
    scene.clock.set_back(Duration::from_secs(3));
    // Issued before the clock was set back.
    let token = Draft::new("EdDSA").without("iat").token();
    assert!(scene.auth.check_token(&token).await.is_ok());
}

#[tokio::test]
async fn a_set_has_64_keys_at_most() {
    let mut keys: Vec<_> = (0..63).map(|number| jwk("p256-other", &number.to_string())).collect();
    keys.extend([jwk("ed25519", "ed25519"), jwk("p256", "p256")]);
    let scene = Scene::new(Reply::Set(key_set(&keys))).await;
    assert_eq!(scene.check("ed25519").await, Ok(()), "the 64th");
    assert_eq!(scene.check("p256").await, Err(Refusal::UnknownKey), "the 65th");
}
