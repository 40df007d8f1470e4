//! What a client's packets do.

use std::net::IpAddr;

use bytes::Bytes;
use tokio::time::Instant;

use super::inbox::Whole;
use super::questions::Answer;
use super::state::{Stage, State};
use super::wakes::Wakes;
use crate::engine::Misfit;
use crate::packet::{self, Body};
use crate::{CloseReason, Config, Connect, EnginePacket, ParseError};

/// What came of a packet.
#[derive(Debug)]
pub(crate) enum Received {
    /// It was taken, or ended the connection.
    Taken,
    /// It was the CONNECT: the application's handler is to be started with this.
    Connect(Box<Connect>),
    /// It ended the connection before its CONNECT, as it will each time this client tries.
    Misfit(Misfit, Option<IpAddr>),
}

impl State {
    /// Takes one packet.
    pub(crate) fn receive(
        &mut self,
        packet: EnginePacket,
        now: Instant,
        config: &Config,
        wakes: &mut Wakes,
    ) -> Received {
        if !self.is_open() {
            return Received::Taken;
        }
        let misfit = self.misfit(&packet);
        let outcome = match packet {
            EnginePacket::Close => {
                self.close_by_client(now, wakes);
                Ok(None)
            }
            EnginePacket::Pong(_) => {
                if self.heartbeat.pong(now) {
                    self.wake_recv(wakes);
                }
                self.wake_driver(wakes);
                Ok(None)
            }
            EnginePacket::Noop => Ok(None),
            // Pings are the server's to send, and an upgrade has a websocket of its own.
            EnginePacket::Ping(_) | EnginePacket::Upgrade => Err(ParseError::OutOfTurn),
            _ if matches!(self.stage, Stage::Over { .. }) => Ok(None),
            EnginePacket::Message(text) => self.message(&text, now, config, wakes),
            EnginePacket::Binary(bytes) => self.attachment(bytes, config, wakes).map(|()| None),
        };
        match outcome {
            Ok(connect) => connect.map_or(Received::Taken, Received::Connect),
            Err(error) => {
                self.close(CloseReason::ParseError(error), now, config, wakes);
                misfit.map_or(Received::Taken, |(misfit, address)| Received::Misfit(misfit, address))
            }
        }
    }

    /// What is wrong with its client if this packet is not the protocol.
    fn misfit(&self, packet: &EnginePacket) -> Option<(Misfit, Option<IpAddr>)> {
        let Stage::Opening { request, .. } = &self.stage else { return None };
        let misfit = match packet {
            EnginePacket::Binary(_) => Misfit::Binary,
            EnginePacket::Message(text) if text.starts_with('0') => Misfit::Auth,
            _ => Misfit::Protocol,
        };
        Some((misfit, request.peer.map(|peer| peer.ip())))
    }

    fn message(
        &mut self,
        text: &str,
        now: Instant,
        config: &Config,
        wakes: &mut Wakes,
    ) -> Result<Option<Box<Connect>>, ParseError> {
        if !self.inbox.expects_text() {
            return Err(ParseError::OutOfTurn);
        }
        let packet = packet::decode(text, config.max_attachments)?;
        if packet.namespace != "/" {
            return self.foreign(packet.namespace, &packet.body, now, config, wakes).map(|()| None);
        }
        match packet.body {
            Body::Connect { auth } => match std::mem::replace(&mut self.stage, Stage::Waiting) {
                Stage::Opening { mut request, .. } => {
                    request.auth = auth;
                    Ok(Some(request))
                }
                other => {
                    self.stage = other;
                    Err(ParseError::OutOfTurn)
                }
            },
            Body::ConnectError { .. } => Err(ParseError::OutOfTurn),
            _ if matches!(self.stage, Stage::Opening { .. }) => Err(ParseError::OutOfTurn),
            Body::Disconnect => {
                self.end_socket(CloseReason::ClientDisconnect, now, config, wakes);
                Ok(None)
            }
            body @ (Body::Event { .. } | Body::Ack { .. }) => {
                let Some(whole) = Whole::from_body(body) else { return Ok(None) };
                match packet.attachments {
                    None | Some(0) => self.complete(whole, wakes),
                    Some(missing) => self.inbox.begin(whole, missing, text.len()),
                }
                Ok(None)
            }
        }
    }

    /// A packet for another namespace: there is none.
    fn foreign(
        &mut self,
        namespace: &str,
        body: &Body,
        now: Instant,
        config: &Config,
        wakes: &mut Wakes,
    ) -> Result<(), ParseError> {
        match body {
            // Answers are queued, so a client that asks without reading must not fill memory with them.
            Body::Connect { .. } if self.is_full(config) => Err(ParseError::TooLarge),
            Body::Connect { .. } => {
                self.send_control(packet::invalid_namespace_text(namespace), now, wakes);
                Ok(())
            }
            Body::Disconnect => Ok(()),
            _ => Err(ParseError::OutOfTurn),
        }
    }

    fn attachment(&mut self, bytes: Bytes, config: &Config, wakes: &mut Wakes) -> Result<(), ParseError> {
        if let Some(whole) = self.inbox.attach(bytes, config.max_assembled_bytes)? {
            self.complete(whole, wakes);
        }
        Ok(())
    }

    fn complete(&mut self, whole: Whole, wakes: &mut Wakes) {
        match whole {
            Whole::Event(event) => {
                self.inbox.push(event);
                self.wake_recv(wakes);
            }
            Whole::Answer { id, args, attachments } => {
                wakes.add_all(self.questions.answer(id, Answer { args, attachments }));
            }
        }
    }
}
