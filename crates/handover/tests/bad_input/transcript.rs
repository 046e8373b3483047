//! Commands and what they printed, as one text that is compared with a file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use handover_testkit::rig::{Options, Rig};
use handover_testkit::servers::postgres::Postgres;

/// Times short enough for tests.
pub(crate) const POLICY: &str = "poll = \"100ms\"\nquiet_min = \"300ms\"\nbrake_for = \"300ms\"\npasses_min = 2";

/// An installation with one group and no consumer.
pub(crate) fn rig() -> Rig {
    let options = Options { consumers: Vec::new(), policy: POLICY.to_owned(), fsync: false };
    Rig::new(Path::new(env!("CARGO_BIN_EXE_handover")), &options).unwrap()
}

/// Replaces the configuration, or a part of it that must be there.
pub(crate) fn edit(rig: &Rig, from: &str, to: &str) {
    let file = rig.path("handover.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

/// Runs as a superuser what `check --online` says to run; nothing stands in the way then.
pub(crate) fn mend_as_told(rig: &Rig) {
    let output = rig.run(&["check", "--online", "--output", "json"]).unwrap();
    let checked: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for finding in checked["findings"].as_array().unwrap() {
        let (who, statements) = finding["next"].as_str().unwrap().split_once(": ").unwrap();
        assert!(who.starts_with("run as a superuser"), "{who}");
        // Before 16 there is no such option, and a member of a role may do it anyway.
        let (now, later) = statements.split_once(" and from PostgreSQL 16 on: ").unwrap_or((statements, ""));
        let later = format!(
            "DO $$ BEGIN IF current_setting('server_version_num')::int >= 160000 THEN EXECUTE $run${later};$run$; END IF; END $$"
        );
        rig.postgres.execute("app", now).unwrap();
        rig.postgres.execute("app", &later).unwrap();
    }
    rig.succeed(&["check", "--online"]).unwrap();
}

/// Every role with all that is known of it, its label included.
pub(crate) fn census(postgres: &Postgres) -> Vec<String> {
    let ask = async {
        let client = postgres.superuser("postgres").await.unwrap();
        let rows = client
            .query(
                "SELECT concat_ws(' ', a.rolname, a.rolcanlogin, a.rolsuper, a.rolpassword, a.rolvaliduntil,
                     shobj_description(a.oid, 'pg_authid'),
                     (SELECT string_agg(m.roleid::regrole::text, ',' ORDER BY 1) FROM pg_auth_members m
                      WHERE m.member = a.oid))
                 FROM pg_authid a ORDER BY a.rolname",
                &[],
            )
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let work = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(ask);
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap()
}

/// Fingerprints of keys differ from run to run: 16 hexadecimal digits.
fn fingerprints(text: &str) -> String {
    let digits = |word: &str| word.len() == 16 && word.chars().all(|c| c.is_ascii_hexdigit());
    let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    words
        .map(|word| {
            let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            if digits(bare) { word.replace(bare, "FINGERPRINT") } else { word.to_owned() }
        })
        .collect()
}

/// What was run and printed.
pub(crate) struct Transcript {
    name: &'static str,
    directory: PathBuf,
    names: Vec<(String, &'static str)>,
    url: Option<String>,
    text: String,
}

impl Transcript {
    pub(crate) fn new(name: &'static str, directory: &Path) -> Self {
        let names = vec![(directory.display().to_string(), "DIRECTORY")];
        Self { name, directory: directory.to_owned(), names, url: None, text: String::new() }
    }

    /// A transcript in an installation's folder.
    pub(crate) fn of(name: &'static str, rig: &Rig) -> Self {
        let mut made = Self::new(name, &rig.path(""));
        made.call(&rig.postgres.ca_path().display().to_string(), "CA_FILE");
        made.call(&format!("127.0.0.1:{}", rig.postgres.port()), "POSTGRES");
        made.url = Some(rig.url());
        made.call(rig.url().trim_start_matches("http://"), "LISTEN");
        made
    }

    /// Shows a text that differs from run to run under a name.
    pub(crate) fn call(&mut self, text: &str, name: &'static str) {
        // The folder comes last, as it may be part of another path.
        self.names.insert(0, (text.trim_end_matches('/').to_owned(), name));
    }

    /// A heading.
    pub(crate) fn case(&mut self, title: &str) {
        let _ = writeln!(self.text, "\n# {title}");
    }

    /// Runs `handover` to its end; its exit code.
    pub(crate) fn run(&mut self, arguments: &[&str]) -> i32 {
        // A server that starts although it must not is an end too, and told by its exit code.
        let mut command = Command::new("timeout");
        command.arg("60").arg(env!("CARGO_BIN_EXE_handover")).args(arguments).current_dir(&self.directory);
        command.env_remove("HANDOVER_URL").env("HANDOVER_TOKEN_FILE", "operator.token").stdin(Stdio::null());
        if let Some(url) = &self.url {
            command.env("HANDOVER_URL", url);
        }
        let output = command.output().unwrap();
        let code = output.status.code().unwrap_or(-1);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let _ = writeln!(self.text, "$ handover {}", arguments.join(" "));
        self.text.push_str(&text(&output.stdout));
        // The log is not the answer: its lines begin with a time.
        for line in text(&output.stderr).lines().filter(|line| !line.starts_with("20")) {
            let _ = writeln!(self.text, "! {line}");
        }
        let _ = writeln!(self.text, "= {code}");
        code
    }

    /// Compares with the file.
    pub(crate) fn end(self) {
        let mut said = self.text.trim_start().to_owned();
        for (text, name) in &self.names {
            said = said.replace(text.as_str(), name);
        }
        let said = fingerprints(&said);
        assert!(!said.contains("canary"), "a value was repeated: {said}");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/bad_input/{}.txt", self.name));
        if std::env::var_os("HANDOVER_BLESS").is_some() {
            std::fs::write(&file, said).unwrap();
            return;
        }
        let wanted = std::fs::read_to_string(&file).unwrap_or_default();
        if said != wanted {
            let first = said.lines().zip(wanted.lines()).position(|(one, other)| one != other);
            panic!("{} differs, first at line {:?}; now it is\n{said}", file.display(), first.map(|index| index + 1));
        }
    }
}
