use std::io;

/// What a process has used so far, as the kernel counts it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Seconds of processor time in user space.
    pub user: f64,
    /// Seconds of processor time in the kernel on its behalf.
    pub system: f64,
    /// Bytes of resident memory.
    pub resident: u64,
}

impl Usage {
    /// Reads it of a process.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let (user, system) =
            ticks(&stat).ok_or_else(|| io::Error::other("unknown form of /proc/PID/stat"))?;
        let resident = resident(&status).ok_or_else(|| io::Error::other("no VmRSS in /proc/PID/status"))?;
        let second = rustix::param::clock_ticks_per_second() as f64;
        Ok(Self { user: user as f64 / second, system: system as f64 / second, resident })
    }

    /// Reads it of this process.
    pub fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Processor time of both kinds.
    pub fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

/// Processor time that everything on this machine has used, in seconds: a run beside others' work is worth less, and
/// its report should say so.
pub fn machine_cpu() -> io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let ticks = busy_ticks(&stat).ok_or_else(|| io::Error::other("unknown form of /proc/stat"))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The first line: user, nice, system, idle, iowait, irq, softirq, steal; the guests' time behind them is part of user.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal] = ticks[..] else { return None };
    Some(user + nice + system + irq + softirq + steal)
}

/// `utime` and `stime`, the fields 14 and 15. The second field is the name, which may hold anything but ends with the
/// last parenthesis.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_passed_over() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 1 0 0 0 517 103 0 0 20 0 1 0 99 1 2";
        assert_eq!(ticks(stat), Some((517, 103)));
        assert_eq!(ticks("42 (x"), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1200 kB\nRssAnon: 1 kB\n"), Some(1_228_800));
        assert_eq!(resident("Name:\tx\n"), None);
    }

    #[test]
    fn idle_and_waiting_time_is_not_busy() {
        assert_eq!(busy_ticks("cpu  1 2 3 900 800 4 5 6 7 8\ncpu0 1"), Some(21));
        assert_eq!(busy_ticks("cpu  1 2 3"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        assert!(Usage::own().unwrap().resident > 0);
    }
}
