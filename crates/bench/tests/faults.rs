//! A load generator is worth as much as the faults it finds.

#![allow(clippy::unwrap_used, reason = "a panic here is the report")]

mod common;

use clap::Parser;
use common::Fault;
use tidings_bench::{LoadReport, Options, Report, measure};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

async fn report(url: &str, arguments: &[&str]) -> Report {
    let words = [&["bench"], arguments, &["--url", url]].concat();
    measure(Cli::parse_from(words).options.scenario).await.unwrap()
}

async fn send(fault: Fault, more: &[&str]) -> (Report, [u64; 5]) {
    let url = common::start(fault).await;
    let arguments = [
        &["send", "--users", "5", "--senders", "3", "--sends", "500", "--silence", "1", "--settle", "0"],
        more,
    ]
    .concat();
    let report = report(&url, &arguments).await;
    let Report::Load(LoadReport { lost, duplicates, out_of_order, gaps, refused, .. }) = report else {
        panic!("{report:?}")
    };
    (report, [lost, duplicates, out_of_order, gaps, refused])
}

#[tokio::test]
async fn a_server_without_faults_passes() {
    for more in [&["--acks"][..], &["--attach", "event"], &["--rate", "2000"]] {
        let (report, counts) = send(Fault::None, more).await;
        assert_eq!(counts, [0; 5]);
        report.kept().unwrap();
        let Report::Load(load) = report else { unreachable!() };
        assert_eq!((load.accepted, load.received), (500, 500));
        assert!(load.end_to_end_ms.p50 > 0.0 && load.end_to_end_ms.p99 >= load.end_to_end_ms.p50);
    }
}

#[tokio::test]
async fn a_schedule_is_kept() {
    let (report, _) = send(Fault::None, &["--rate", "1000"]).await;
    let Report::Load(load) = report else { unreachable!() };
    assert!((0.499..1.0).contains(&load.seconds), "{}", load.seconds);
}

#[tokio::test]
async fn losses_are_found() {
    let (report, [lost, duplicates, out_of_order, gaps, _]) = send(Fault::Loses, &[]).await;
    assert!((40..=50).contains(&lost), "{lost}");
    // A loss at the end of an inbox has no successor that would show the gap.
    assert!(gaps <= lost && gaps + 5 >= lost, "{gaps}");
    assert_eq!((duplicates, out_of_order), (0, 0));
    assert!(report.kept().unwrap_err().to_string().contains("lost"));
}

#[tokio::test]
async fn duplicates_are_found() {
    let (report, [lost, duplicates, out_of_order, gaps, _]) = send(Fault::Doubles, &[]).await;
    assert!((40..=50).contains(&duplicates), "{duplicates}");
    assert_eq!((lost, out_of_order, gaps), (0, 0, 0));
    assert!(report.kept().is_err());
}

#[tokio::test]
async fn a_wrong_order_is_found() {
    let (report, [_, duplicates, out_of_order, gaps, _]) = send(Fault::Swaps, &[]).await;
    assert!(out_of_order >= 40 && gaps >= 40, "{out_of_order} {gaps}");
    assert_eq!(duplicates, 0);
    assert!(report.kept().is_err());
}

#[tokio::test]
async fn refused_sends_are_not_lost_but_told() {
    let (report, [lost, .., refused]) = send(Fault::Refuses, &[]).await;
    assert!((40..=50).contains(&refused), "{refused}");
    assert_eq!(lost, 0);
    assert!(report.kept().unwrap_err().to_string().contains("503"));
}

#[tokio::test]
async fn nonsense_from_the_server_is_passed_over() {
    let (_, counts) = send(Fault::Babbles, &[]).await;
    assert_eq!(counts, [0; 5]);
}

#[tokio::test]
async fn lost_registrations_are_counted() {
    let url = common::start(Fault::RefusesDevices).await;
    let report = report(&url, &["idle", "--connections", "50", "--seconds", "0", "--settle", "0"]).await;
    let Report::Idle(idle) = &report else { panic!("{report:?}") };
    assert_eq!((idle.registered, idle.lost_registrations, idle.disconnected), (45, 5, 0));
    assert!(report.kept().unwrap_err().to_string().contains("no room"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_clear_error() {
    let words = ["bench", "send", "--url", "http://127.0.0.1:1", "--users", "3"];
    let error = measure(Cli::parse_from(words).options.scenario).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}
