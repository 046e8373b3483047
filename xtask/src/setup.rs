//! What tests and demonstration need from the machine, and how it gets there.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Trouble, Verdict};

/// The line that installs PostgreSQL's server on Debian and its relatives.
pub(crate) const INSTALL: &str = "apt-get install -y --no-install-recommends postgresql";

/// Installs what is missing, or says the line that does.
pub(crate) fn run() -> Result<Verdict, Trouble> {
    if let Some(binaries) = postgresql() {
        eprintln!("PostgreSQL's server is there: {}", binaries.display());
        return Ok(Verdict::Good);
    }
    if !is_root()? {
        eprintln!("PostgreSQL's server is missing, and this user cannot install it.");
        eprintln!("hint: run: sudo {INSTALL}");
        return Ok(Verdict::Bad);
    }
    eprintln!("PostgreSQL's server is missing; installing Debian's package:");
    // Held until the end, so that the package starts no server of its own.
    let _quiet = NoAutostart::set()?;
    apt(&["update"])?;
    apt(&["install", "-y", "--no-install-recommends", "postgresql"])?;
    match postgresql() {
        Some(binaries) => {
            eprintln!("PostgreSQL's server is there now: {}", binaries.display());
            Ok(Verdict::Good)
        }
        None => Err("the package is installed, and brought no server under /usr/lib/postgresql/*/bin".to_owned()),
    }
}

/// Where the newest server's programs are. Debian keeps them off the path, by version.
pub(crate) fn postgresql() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|version| Some((version.file_name().to_str()?.parse::<u32>().ok()?, version.path().join("bin"))))
        .filter(|(_, binaries)| binaries.join("postgres").exists() && binaries.join("initdb").exists())
        .max();
    newest.map(|(_, binaries)| binaries)
}

fn apt(arguments: &[&str]) -> Result<(), Trouble> {
    eprintln!("+ apt-get {}", arguments.join(" "));
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("apt-get cannot be started ({error}); install PostgreSQL's server by other means"))?;
    if status.success() { Ok(()) } else { Err(format!("apt-get failed ({status}); once it works, run: {INSTALL}")) }
}

fn is_root() -> Result<bool, Trouble> {
    let answer = Command::new("id").arg("-u").output().map_err(|error| format!("id cannot be started: {error}"))?;
    Ok(answer.stdout.trim_ascii() == b"0")
}

/// Debian's packages start the servers that they bring, unless this policy says no.
struct NoAutostart {
    path: &'static Path,
}

impl NoAutostart {
    const TEXT: &'static str =
        "#!/bin/sh\n# Written by `cargo xtask setup` for the time of its installation.\nexit 101\n";

    /// Sets the policy. One that somebody else set stays, and counts; one that we left behind when we were killed is
    /// taken over, and so taken away at the end.
    fn set() -> Result<Option<Self>, Trouble> {
        let path = Path::new("/usr/sbin/policy-rc.d");
        if path.exists() {
            let ours = fs::read_to_string(path).is_ok_and(|text| text == Self::TEXT);
            return Ok(ours.then_some(Self { path }));
        }
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, Self::TEXT.as_bytes()));
        written.map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        Ok(Some(Self { path }))
    }
}

impl Drop for NoAutostart {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(self.path) {
            eprintln!("warning: {} could not be removed ({error}): remove it by hand", self.path.display());
        }
    }
}
