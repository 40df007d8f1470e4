use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Measures a running server, or one that it starts itself, as its clients see it.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Print the report as JSON instead of a table
    #[arg(long, global = true)]
    pub json: bool,
    /// What to measure
    #[command(subcommand)]
    pub scenario: Scenario,
}

/// What to measure.
#[derive(Debug, Clone, Subcommand)]
pub enum Scenario {
    /// Send notifications to users who are online, and wait until every device has received its own
    Send(Send),
    /// Send at a fixed rate, whatever the server does, and report how long a notification takes to arrive
    Latency(Latency),
    /// Hold many registered connections that do nothing, and report the server's memory for each
    Idle(Idle),
}

/// Which server is measured.
#[derive(Debug, Clone, Args)]
pub struct Server {
    /// The server's address; plain http only
    #[arg(long, default_value = "http://127.0.0.1:3000", value_name = "URL")]
    pub url: String,
    /// The server's process, to report its CPU time and memory
    #[arg(long)]
    pub pid: Option<u32>,
    /// Start this server binary on a free port with an empty data folder, and end it afterwards
    #[arg(long, value_name = "BINARY", conflicts_with_all = ["url", "pid"])]
    pub spawn: Option<PathBuf>,
    /// Measure the disk's fsync in this folder; with --spawn, the data folder is made in it (default: the system's
    /// temporary folder)
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// An API key of the server; devices then attach with user tokens that the server mints
    #[arg(long, env = "TIDINGS_BENCH_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
}

/// The devices that are online.
#[derive(Debug, Clone, Args)]
pub struct Crowd {
    /// How a device names its user
    #[arg(long, value_enum, default_value_t = Attach::Auth)]
    pub attach: Attach,
    /// Devices confirm with `ack_notifications` what they received; without it the server proves delivery by itself
    #[arg(long)]
    pub acks: bool,
    /// Seconds without a receipt after which what is missing counts as lost
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub silence: u16,
    /// Seconds to look on after the last receipt: for duplicates, and because the server has not finished with a
    /// notification when it has delivered it (proof of receipt, checkpoints); its cost is read after them
    #[arg(long, default_value_t = 3)]
    pub settle: u16,
    /// How many devices may be connecting at the same time
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..))]
    pub connecting: u16,
}

/// How a device names its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Attach {
    /// In the `auth` of the Socket.IO CONNECT
    Auth,
    /// With the event `register_user`, right after CONNECT
    Event,
}

/// The scenario `send`.
#[derive(Debug, Clone, Args)]
pub struct Send {
    /// Users online, each with one device
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub users: u32,
    /// Keep-alive connections that send at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub senders: u16,
    /// Notifications to send in all
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub sends: u32,
    /// Sends per second on a fixed schedule (open loop) in place of as fast as the senders can
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Size of a request's body
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(..=4_000))]
    pub payload_bytes: u16,
    /// The same seed chooses the same users in the same order
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The devices that are online
    #[command(flatten)]
    pub crowd: Crowd,
    /// Which server is measured
    #[command(flatten)]
    pub server: Server,
}

/// The scenario `latency`.
#[derive(Debug, Clone, Args)]
pub struct Latency {
    /// Users online, each with one device
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub users: u32,
    /// Sends per second, on a schedule that does not wait for the server
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// How long to send
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
    /// Keep-alive connections; a send that finds all of them busy waits, and its latency counts the wait
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub senders: u16,
    /// Size of a request's body
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(..=4_000))]
    pub payload_bytes: u16,
    /// The same seed chooses the same users in the same order
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The devices that are online
    #[command(flatten)]
    pub crowd: Crowd,
    /// Which server is measured
    #[command(flatten)]
    pub server: Server,
}

/// The scenario `idle`.
#[derive(Debug, Clone, Args)]
pub struct Idle {
    /// Connections, each registered as a user of its own. Both processes need as many file descriptors (`ulimit -n`)
    #[arg(long, default_value_t = 9_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// How long to hold them before the second look at the memory
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(..=86_400))]
    pub seconds: u32,
    /// The devices that are online
    #[command(flatten)]
    pub crowd: Crowd,
    /// Which server is measured
    #[command(flatten)]
    pub server: Server,
}
