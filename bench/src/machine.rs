//! Where the figures were taken.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What figures depend on, as far as the kernel tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    memory_mib: u64,
    kernel: String,
    file_system: String,
    /// The load of the last minute when the run began: what else the machine did.
    load: String,
    profile: String,
}

impl Machine {
    /// Looks. `directory` is where the benchmarks keep their files.
    pub(crate) fn look(directory: &Path, profile: &str) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
            line.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
        };
        let memory = after(&read("/proc/meminfo"), "MemTotal");
        let memory = memory.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: after(&read("/proc/cpuinfo"), "model name"),
            memory_mib: memory / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(directory, &read("/proc/self/mounts")),
            load: read("/proc/loadavg").split_whitespace().next().unwrap_or("unknown").to_owned(),
            profile: profile.to_owned(),
        }
    }
}

/// The kind of the innermost mount that holds the folder.
fn file_system(directory: &Path, mounts: &str) -> String {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let mut found = ("", "unknown");
    for line in mounts.lines() {
        let mut columns = line.split_whitespace().skip(1);
        if let (Some(point), Some(kind)) = (columns.next(), columns.next())
            && directory.starts_with(point)
            && point.len() >= found.0.len()
        {
            found = (point, kind);
        }
    }
    found.1.to_owned()
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, memory_mib, kernel, file_system, load, profile } = self;
        write!(
            f,
            "{cores} cores ({processor}), {memory_mib} MiB, Linux {kernel}, {file_system}; load at the start {load}; \
             profile {profile}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_counts() {
        let mounts = "overlay / overlay rw 0 0\ntmpfs /proc tmpfs rw 0 0\n";
        assert_eq!(file_system(Path::new("/proc"), mounts), "tmpfs");
        assert_eq!(file_system(Path::new("/"), mounts), "overlay");
        assert_eq!(file_system(Path::new("/"), ""), "unknown");
    }
}
