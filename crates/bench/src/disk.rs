use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: usize = 200;
const BLOCK: [u8; 4096] = [0x5a; 4096];

/// How long the disk of this folder takes to make 4 KiB durable (append and fsync; the median of 200). Figures of runs
/// on different disks can only be compared beside it.
pub fn fsync_time(folder: &Path) -> io::Result<Duration> {
    let path = folder.join(format!(".tidings-bench-{}", std::process::id()));
    let result = measure(&path);
    let removed = std::fs::remove_file(&path);
    let median = result?;
    removed?;
    Ok(median)
}

fn measure(path: &Path) -> io::Result<Duration> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_all()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[ROUNDS / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(fsync_time(Path::new("/nonexistent/folder")).is_err());
    }
}
