//! A figure that Prometheus gives, against a baseline: failures by generation, mostly. No answer, no series and no number
//! are unknown, and never zero.

use std::path::PathBuf;

use handover_core::port::{Finding, Subject};
use handover_core::{Fault, FaultKind};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::fetch::{Fetcher, check_url, no_verdict};
use super::template::percent;
use super::{Common, When, failed, misconfigured, timeout_ms, unknown};

/// Options of `metric`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name within the group.
    pub name: String,
    /// When it is made.
    #[serde(default = "after_publish")]
    pub when: Vec<When>,
    /// How long it may take, all its queries together.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Where Prometheus is: scheme, host and port.
    pub url: String,
    /// A query that gives one number. `$generation`, and `$` before the name of what is published beside the value, stand for
    /// these.
    pub query: String,
    /// A query that gives the number to compare with; absent: 0.
    pub baseline: Option<String>,
    /// How many percent of the baseline are allowed.
    #[serde(default = "all_of_it")]
    pub baseline_percent: u64,
    /// How much is allowed beside that.
    #[serde(default)]
    pub above_max: u64,
    /// CA certificates in PEM that the server's certificate must chain to.
    pub ca_file: Option<PathBuf>,
    /// Whether it may be on this machine or in a private network.
    #[serde(default)]
    pub allow_private: bool,
}

fn after_publish() -> Vec<When> {
    vec![When::AfterPublish]
}

const fn all_of_it() -> u64 {
    100
}

impl Config {
    pub(super) fn common(&self) -> Common<'_> {
        Common { name: &self.name, when: &self.when, timeout_ms: self.timeout_ms }
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let queries = [Some(&self.query), self.baseline.as_ref()];
        if queries.into_iter().flatten().any(|query| query.trim().is_empty()) {
            return Err(misconfigured(&self.name, "query and baseline are not empty"));
        }
        check_url(&self.name, &self.url, self.ca_file.is_some(), self.allow_private)
    }
}

pub(super) struct Metric {
    config: Config,
    fetcher: Fetcher,
}

#[derive(Deserialize)]
struct Reply {
    data: Data,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Scalar((f64, String)),
    Vector(Vec<Series>),
}

#[derive(Deserialize)]
struct Series {
    value: (f64, String),
}

impl Metric {
    pub(super) fn new(config: Config, ca_pem: Option<&[u8]>) -> Result<Self, Fault> {
        config.check()?;
        let fetcher = Fetcher::new(&config.name, ca_pem, config.allow_private)?;
        Ok(Self { config, fetcher })
    }

    pub(super) async fn compare(&self, subject: Subject<'_>) -> Result<Finding, Fault> {
        let baseline = match &self.config.baseline {
            Some(query) => self.number(query, subject).await?,
            None => 0.0,
        };
        let value = self.number(&self.config.query, subject).await?;
        #[expect(clippy::cast_precision_loss, reason = "both are small numbers of a configuration")]
        let (percent, above) = (self.config.baseline_percent as f64, self.config.above_max as f64);
        let allowed = baseline * percent / 100.0 + above;
        if value <= allowed {
            return Ok(Finding::Passed);
        }
        Ok(failed(format!("it gives {value}, and {allowed} is allowed")))
    }

    async fn number(&self, query: &str, subject: Subject<'_>) -> Result<f64, Fault> {
        let base = self.config.url.trim_end_matches('/');
        let url = format!("{base}/api/v1/query?query={}", percent(&filled(query, subject)));
        let answered = self.fetcher.ask(Method::GET, &url, HeaderMap::new()).await?;
        if answered.status != 200 {
            return Err(no_verdict(answered.status));
        }
        let reply: Option<Reply> = answered.body.as_ref().and_then(|body| serde_json::from_slice(body).ok());
        let text = match reply.map(|reply| reply.data) {
            Some(Data::Scalar((_, text))) => text,
            Some(Data::Vector(mut series)) if series.len() == 1 => series.remove(0).value.1,
            Some(Data::Vector(series)) => {
                let there = series.len();
                let why =
                    format!("a query gives {there} series, and not one: sum them; `or vector(0)` says what none means");
                return Err(unknown(FaultKind::Missing, why));
            }
            None => return Err(unknown(FaultKind::Unsupported, "it answered 200, and no result that is read")),
        };
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| unknown(FaultKind::Missing, "a query gives no finite number"))
    }
}

/// Names after `$` are replaced, the longest first, as parts of texts in quotation marks.
fn filled(query: &str, subject: Subject<'_>) -> String {
    let generation = subject.who.generation.to_string();
    let mut names: Vec<(&str, &str)> =
        subject.fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    names.push(("generation", &generation));
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    names.into_iter().fold(query.to_owned(), |query, (name, text)| {
        query.replace(&format!("${name}"), &text.replace('\\', "\\\\").replace('"', "\\\""))
    })
}
