//! The fuzz targets for a moment on every change: the committed corpus, and what mutation makes of it. `fuzz/README.md` says
//! how to run them for long.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

use proptest::prelude::*;
use std::path::Path;
use tidings::fuzz::{TARGETS, Target};

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

/// One change of some bytes.
#[derive(Debug, Clone)]
enum Mutation {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    // Bytes that mean something to one of the readers, more often than others.
    let byte = prop_oneof![
        prop::sample::select(b"{}[]\":,0129-+.eEnulltrfs\\/\x1e\x00\xff&=%b_ ".to_vec()),
        any::<u8>()
    ];
    prop_oneof![
        (index(), byte.clone()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (index(), prop::collection::vec(byte, 1..8)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (index(), 1..16_usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        (index(), 1..16_usize, 1..200_usize)
            .prop_map(|(at, length, times)| Mutation::Repeat(at, length, times)),
    ]
}

fn mutate(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        let place = |index: &prop::sample::Index| index.index(bytes.len() + 1);
        match mutation {
            Mutation::Set(at, byte) => {
                let at = place(at);
                if let Some(found) = bytes.get_mut(at) {
                    *found = *byte;
                }
            }
            Mutation::Insert(at, more) => {
                let at = place(at);
                bytes.splice(at..at, more.iter().copied());
            }
            Mutation::Remove(at, length) => {
                let at = place(at);
                let end = (at + length).min(bytes.len());
                bytes.drain(at..end);
            }
            Mutation::Repeat(at, length, times) => {
                let at = place(at);
                let end = (at + length).min(bytes.len());
                let again = bytes[at..end].repeat(*times);
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}

fn survives(name: &str) {
    let target: Target = TARGETS.iter().find(|(known, _)| *known == name).unwrap().1;
    let seeds = corpus(name);
    assert!(!seeds.is_empty(), "an empty corpus");
    seeds.iter().for_each(|seed| target(seed));
    let input = (prop::sample::select(seeds), prop::collection::vec(mutation(), 1..6));
    proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }, |((seed, mutations) in input)| {
        target(&mutate(seed, &mutations));
    });
}

#[test]
fn bodies() {
    survives("body");
}

#[test]
fn attaches() {
    survives("attach");
}

#[test]
fn cursors() {
    survives("cursor");
}

#[test]
fn queries() {
    survives("query");
}

#[test]
fn packets() {
    survives("packet");
}

#[test]
fn payloads() {
    survives("payload");
}

#[test]
fn every_target_has_a_corpus_and_a_file_for_the_fuzzer() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for (name, _) in TARGETS {
        assert!(fuzz.join("fuzz_targets").join(format!("{name}.rs")).is_file(), "{name}");
        assert!(!corpus(name).is_empty(), "{name}");
    }
}
