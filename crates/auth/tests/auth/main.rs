//! Everything a stranger may try against the crate, and what its owners rely on, through its public functions.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod algorithms;
mod any_text;
mod attacks;
mod bearer;
mod claims;
mod key_set;
mod minting;
mod secrets;
mod settings;
mod support;
