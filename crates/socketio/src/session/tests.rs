//! The state machine under anything that can happen, in any order.

use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{Batch, Frame, State, Wakes};
use crate::packet::{Incoming, Packet};
use crate::{Config, EnginePacket, Transport};

#[derive(Clone, Debug)]
enum Step {
    Text(String),
    Binary(usize),
    Pass(u64),
    Accept,
    Send(usize),
    SendBinary(usize),
    Recv(bool),
    Want(u64),
    Poll,
    PollGivenUp,
    BeginPost,
    EndPost,
    Write(usize),
    Claim,
    Probe,
    Upgrade,
    Abandon,
    Disconnect,
}

fn step() -> impl Strategy<Value = Step> {
    let text = prop_oneof![
        4 => Just("40".to_owned()),
        4 => Just("42[\"a\",1]".to_owned()),
        4 => Just("3".to_owned()),
        1 => Just("452-[\"b\"]".to_owned()),
        1 => Just("40/x,".to_owned()),
        1 => prop_oneof![Just("41"), Just("1"), Just("430[]"), Just("2"), Just("4"), Just("41/x")].prop_map(str::to_owned),
        1 => "[0-6]{1,3}[\\[\\]\"a-z/,-]{0,8}",
    ];
    prop_oneof![
        12 => text.prop_map(Step::Text),
        1 => (0..200usize).prop_map(Step::Binary),
        4 => (0..12_000u64).prop_map(Step::Pass),
        4 => Just(Step::Accept),
        6 => (0..400usize).prop_map(Step::Send),
        2 => (0..400usize).prop_map(Step::SendBinary),
        6 => any::<bool>().prop_map(Step::Recv),
        2 => (0..1_000u64).prop_map(Step::Want),
        6 => Just(Step::Poll),
        1 => Just(Step::PollGivenUp),
        1 => Just(Step::BeginPost),
        1 => Just(Step::EndPost),
        6 => (0..20usize).prop_map(Step::Write),
        1 => Just(Step::Claim),
        1 => Just(Step::Probe),
        1 => Just(Step::Upgrade),
        1 => Just(Step::Abandon),
        1 => Just(Step::Disconnect),
    ]
}

const HIGH_WATER: usize = 1_000;

/// What a transport took, to be compared with what was sent.
fn keep(taken: &mut Vec<u64>, frames: impl IntoIterator<Item = Frame>) {
    for frame in frames {
        if let Frame::Text(text) = frame
            && let Some((_, rest)) = text.split_once("[\"n\",")
        {
            taken.push(rest.split(',').next().unwrap().parse().unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nothing_panics_and_what_is_sent_goes_out_in_order(
        steps in proptest::collection::vec(step(), 1..120),
        polling in any::<bool>(),
    ) {
        let config = Config { send_buffer_bytes: HIGH_WATER, inbound_events: 4, max_assembled_bytes: 300, ..Config::default() };
        let mut now = Instant::now();
        let transport = if polling { Transport::Polling } else { Transport::Websocket };
        let mut state = State::new(now, &config, Box::default(), transport);
        let waker = Waker::noop();
        let (mut sent, mut taken, mut last_receipt) = (0, Vec::new(), 0);
        for step in steps {
            let wakes = &mut Wakes::default();
            match step {
                Step::Text(text) if state.may_read(&config) => {
                    if let Ok(packet) = EnginePacket::decode(Utf8Bytes::from(text)) {
                        state.receive(packet, now, &config, wakes);
                    }
                }
                Step::Binary(size) if state.may_read(&config) => {
                    state.receive(EnginePacket::Binary(Bytes::from(vec![0; size])), now, &config, wakes);
                }
                Step::Text(_) | Step::Binary(_) => {}
                Step::Pass(ms) => {
                    now += Duration::from_millis(ms);
                    state.tick(now, &config, wakes);
                }
                Step::Accept => {
                    let _ = state.accept("40{}".to_owned(), now, wakes);
                }
                Step::Send(size) | Step::SendBinary(size) => {
                    let parts = if matches!(step, Step::Send(_)) { vec![] } else { vec![Bytes::from(vec![0; size])] };
                    let packet = Packet::binary("n", &(sent, "x".repeat(size)), parts).unwrap();
                    if let Ok(position) = state.send(&packet, now, &config, wakes) {
                        sent += 1;
                        prop_assert_eq!(position, sent);
                    }
                }
                Step::Recv(events) => {
                    if let Poll::Ready(Some(Incoming::Receipt(position))) = state.poll_recv(waker, events, now, &config, wakes) {
                        prop_assert!(position > last_receipt && position <= sent);
                        last_receipt = position;
                    }
                }
                Step::Want(ms) => state.want_receipt(now + Duration::from_millis(ms), wakes),
                Step::Poll => {
                    if state.begin_poll(now, &config, wakes).is_ok() {
                        if let Poll::Ready(Ok(Batch { frames })) = state.poll_output(waker, now, &config, wakes) {
                            prop_assert!(frames.len() <= 16);
                            keep(&mut taken, frames);
                        }
                        state.end_poll();
                    }
                }
                Step::PollGivenUp => {
                    if state.begin_poll(now, &config, wakes).is_ok() {
                        state.cancel_poll(wakes);
                    }
                }
                Step::BeginPost => {
                    let _ = state.begin_post(now, &config, wakes);
                }
                Step::EndPost => state.end_post(wakes),
                Step::Write(count) if state.transport() == Transport::Websocket => {
                    let frames: Vec<Frame> = std::iter::from_fn(|| state.next_frame()).take(count).collect();
                    let bytes = frames.iter().map(Frame::len).sum();
                    let ping = frames.contains(&Frame::Ping);
                    state.flushed(bytes, ping, now, &config, wakes);
                    keep(&mut taken, frames);
                }
                Step::Write(_) => {}
                Step::Claim => {
                    let _ = state.claim_upgrade();
                }
                Step::Probe => state.probe(wakes),
                Step::Upgrade => {
                    let _ = state.complete_upgrade(wakes);
                }
                Step::Abandon => state.abandon_upgrade(),
                Step::Disconnect => state.disconnect(now, &config, wakes),
            }
            // One packet may go beyond the mark, and a few bytes of the protocol's own.
            prop_assert!(state.queued_bytes() < HIGH_WATER + 1_000, "{} bytes", state.queued_bytes());
            prop_assert!(state.received() <= sent);
            prop_assert!(state.is_closed() || state.deadline(&config).is_some() || state.queued_bytes() > 0);
            prop_assert_eq!(state.is_open(), !state.is_closing() && !state.is_closed());
        }
        let expected: Vec<u64> = (0..taken.len() as u64).collect();
        prop_assert_eq!(taken, expected);
    }
}

#[test]
fn an_application_that_is_behind_is_owed_a_bounded_number_of_bytes() {
    let config = Config { inbound_events: 100, inbound_bytes: 1_000, ..Config::default() };
    let (now, wakes) = (Instant::now(), &mut Wakes::default());
    let mut state = State::new(now, &config, Box::default(), Transport::Websocket);
    let mut receive = |state: &mut State, packet| state.receive(packet, now, &config, wakes);
    receive(&mut state, EnginePacket::Message("0".into()));
    // In its text or in its attachments.
    let event = EnginePacket::Message(format!("2[\"n\",\"{}\"]", "x".repeat(400)).into());
    receive(&mut state, event.clone());
    receive(&mut state, event.clone());
    assert!(state.may_read(&config));
    receive(&mut state, EnginePacket::Message("51-[\"n\",{\"_placeholder\":true,\"num\":0}]".into()));
    receive(&mut state, EnginePacket::Binary(vec![0; 400].into()));
    assert!(!state.may_read(&config));
    let take = |state: &mut State| state.poll_recv(Waker::noop(), true, now, &config, &mut Wakes::default());
    assert!(matches!(take(&mut state), Poll::Ready(Some(Incoming::Event(_)))));
    assert!(state.may_read(&config));
    // What was taken does not count any more.
    for _ in 0..10 {
        state.receive(event.clone(), now, &config, &mut Wakes::default());
        assert!(matches!(take(&mut state), Poll::Ready(Some(Incoming::Event(_)))));
    }
    assert!(state.may_read(&config));
}
