//! What the configuration says of checks.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use handover_adapters::check::CheckConfig;
use handover_adapters::target::TargetConfig;
use handover_core::Moments;

use super::Group;

/// The most checks of one group. Each costs time in each round.
const CHECKS_MAX: usize = 32;

impl Group {
    /// Has relative paths start at `directory`.
    pub(super) fn resolve_checks(&mut self, directory: &Path) {
        if self.checks.iter().any(|check| check.ca_file().is_some()) {
            Arc::make_mut(&mut self.checks).iter_mut().for_each(|check| check.resolve(directory));
        }
    }

    /// What nobody can mean.
    pub(super) fn wrong_checks(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut names = BTreeSet::new();
        for check in self.checks.iter() {
            wrong.extend(check.check(&self.target).err().map(|fault| fault.detail));
            if !names.insert(check.name()) {
                wrong.push(format!("check {} is there twice", check.name()));
            }
        }
        if self.checks.len() > CHECKS_MAX {
            wrong.push(format!("there are {} checks; the limit is {CHECKS_MAX}", self.checks.len()));
        }
        if !self.checks.is_empty() && matches!(self.target, TargetConfig::None(_)) {
            wrong.push("a check is configured, and the group has no target: no round would be made".to_owned());
        }
        if !self.checks.is_empty() && self.policy.passes_min == 0 {
            wrong.push("a check is configured, and policy.passes_min = 0 makes no round of verification".to_owned());
        }
        // Before publishing, the target itself lets the credential in beside them.
        let after = |moments: Moments| moments.after_publish;
        let mut made_after = self.checks.iter().filter(|check| after(check.moments())).peekable();
        if made_after.peek().is_some() && !made_after.any(CheckConfig::presents_the_credential) {
            wrong.push(
                "after publishing nothing but ports, certificates, names, key sets and figures would be looked at: reaching a port \
                 is no login; add a check of the kind login, sql, http or process"
                    .to_owned(),
            );
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const GROUP: &str = r#"
        [[group]]
        name = "orders-db"
        consumers = [{ name = "pool" }]
        [group.target]
        kind = "postgres"
        endpoints = [{ name = "primary", host = "db.internal" }]
        database = "orders"
        ca_file = "ca.pem"
        owner = "orders"
        twins = ["orders_a", "orders_b"]
        admin = { user = "handover_admin", password_file = "admin.password" }
    "#;

    fn parse(checks: &str) -> Result<Config, String> {
        Config::parse(&format!("{GROUP}{checks}"), Path::new("/etc/handover")).map_err(|wrong| {
            let told: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            told.join("\n")
        })
    }

    fn check(rest: &str) -> String {
        format!("[[group.check]]\nname = \"one\"\n{rest}\n")
    }

    #[test]
    fn checks_are_read() {
        let sql = check("kind = \"sql\"\nstatement = \"SELECT 1\"\nexpected = \"1\"\nwhen = [\"after_publish\"]");
        let http = check("kind = \"http\"\npack = \"stripe\"\nca_file = \"public.pem\"").replace("one", "two");
        let config = parse(&format!("{sql}{http}")).unwrap();
        let group = &config.groups[0];
        assert_eq!(group.checks[1].ca_file(), Some(Path::new("/etc/handover/public.pem")), "as all files");
        assert_eq!(group.called().checks, Moments { before_publish: true, after_publish: true });
        let only = parse(&sql).unwrap();
        assert_eq!(only.groups[0].called().checks, Moments { before_publish: false, after_publish: true });
    }

    /// F92, S23: what would pass without a login, ask elsewhere, or never be asked.
    #[test]
    fn what_cannot_be_meant_is_refused_with_words() {
        let http = |rest: &str| check(&format!("kind = \"http\"\n{rest}"));
        let value = "headers = [\"x-key: {value}\"]";
        let url = "url = \"https://api.example/v1\"\nca_file = \"public.pem\"";
        let tcp = check("kind = \"tcp\"\nhost = \"db.internal\"\nport = 5432");
        let login = check("kind = \"login\"");
        let cases = [
            (tcp.clone(), "reaching a port is no login"),
            (check("kind = \"dns\"\nhost = \"db\"\nfamily = \"a\"\nexpected = [\"10.0.0.1\"]"), "is no login"),
            (check("kind = \"ping\""), "`kind` must be"),
            (format!("{login}{login}"), "check one is there twice"),
            (format!("{login}when = []"), "when is empty"),
            (format!("{login}when = [\"sometimes\"]"), "before_publish"),
            (format!("{login}timeout_ms = 0"), "timeout_ms is 1"),
            (login.replace("one", "One!"), "its name is"),
            (check("kind = \"sql\"\nstatement = \" \"\nexpected = \"1\""), "statement is empty"),
            (http(value), "it has no url"),
            (http(url), "no header holds {value}"),
            (http(&format!("{value}\nurl = \"https://api.example/v1\"")), "ca_file names the CA"),
            (http(&format!("{value}\nurl = \"http://api.example/v1\"")), "must be https"),
            (http(&format!("{value}\n{url}").replace("api.example", "169.254.169.254")), "names such an address"),
            (http(&format!("{value}\n{url}").replace("api.example", "10.0.0.1")), "set allow_private"),
            (http(&format!("{value}\n{url}").replace("api.", "user@api.")), "holds a user"),
            (http(&format!("{value}\n{url}").replace("v1", "{value}")), "URLs stand in logs"),
            (http(&format!("{value}\n{url}\nfailed_status = [200]")), "in status and in failed_status"),
            (http(&format!("{value}\n{url}\npointer = \"/ok\"")), "belong together"),
            (http(&format!("{value}\n{url}\npointer = \"ok\"\nexpected = \"x\"")), "a pointer begins with /"),
            (http("pack = \"nobody\"\nca_file = \"public.pem\""), "there is no such pack"),
            (check("kind = \"process\"\ncommand = [\"look\"]"), "the whole path of a program"),
            (check("kind = \"jwks\"\nurl = \"file:///etc/x\"\nkid = \"a\""), "begins with https://"),
        ];
        for (text, words) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(words), "{words}: {error}");
        }
        assert!(parse(&format!("{tcp}{}", login.replace("one", "two"))).is_ok(), "beside a login it may be looked at");
        let never = format!("{}{login}", GROUP.replace("consumers", "policy.passes_min = 0\nconsumers"));
        let error = Config::parse(&never, Path::new("/")).unwrap_err();
        assert!(error.iter().any(|wrong| wrong.words.contains("makes no round")), "{error:?}");
    }
}
