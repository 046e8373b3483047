//! A KV version 2 engine of OpenBao or Vault.
//!
//! A group's values are versions of one path: fields, value and our label in one write, which the server makes only at
//! the version that it is given (check-and-set). There is nothing current beside the newest version: `put` does nothing,
//! and `point` writes. What is staged stands at a path of its own, where no consumer reads.
//!
//! A version's number recurs once somebody deletes the path with its metadata, so ours is the number with the time of
//! its making. Standbys of OpenBao answer reads from what they have: every read has the active node write something first,
//! which says how far it is, and takes no answer of a node that is not as far.

mod client;
mod config;
mod document;
mod label;
mod login;
mod staging;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use handover_core::port::{Answer, Head, SecretStore, Value};
use handover_core::{
    Candidate, Fault, FaultKind, Generation, GroupId, Publication, StoreCapability, StoreVersion, Touched,
};
use handover_secret::Secret;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use self::client::{Client, Reply, Request};
pub use self::config::{Auth, Config, Retired};
use self::document::{Found, Listed};
use self::label::{Label, Shelf, Texts};
use crate::seal::Sealer;

/// Reads what we log in with, each time that we do.
pub type Credential = Arc<dyn Fn() -> Result<Secret, Fault> + Send + Sync>;

/// The store. It keeps one login for all groups.
pub struct Vault {
    client: Client,
    sealer: Arc<Sealer>,
}

impl Vault {
    /// Makes the store. Nothing is contacted yet. `ca_pem` is the content of `ca_file`.
    ///
    /// # Errors
    /// `Misconfigured`.
    pub fn new(
        config: Config,
        ca_pem: Option<&[u8]>,
        credential: Credential,
        sealer: Arc<Sealer>,
    ) -> Result<Self, Fault> {
        Ok(Self { client: Client::new(config, ca_pem, credential)?, sealer })
    }

    /// Logs in and looks whether we may do at a group's path what a rotation does there, and, if it `stages`, where that
    /// stages. What is missing is the answer.
    ///
    /// # Errors
    /// If it could not look.
    pub async fn preflight(&self, group: &GroupId, stages: bool) -> Result<Vec<Fault>, Fault> {
        let mut missing = self.lacking(Shelf::Current, group).await?;
        if stages {
            missing.extend(self.lacking(Shelf::Staging, group).await?);
        }
        missing.extend(self.head(group).await.err());
        Ok(missing)
    }

    async fn lacking(&self, on: Shelf, group: &GroupId) -> Result<Vec<Fault>, Fault> {
        let mut missing = Vec::new();
        for (operation, needed) in
            [("data", ["create", "read", "update"].as_slice()), ("metadata", &["read"]), (self.retire(), &["update"])]
        {
            let path = self.path(on, operation, group)?;
            let may = self.capabilities(&path).await?;
            let has = |wanted: &&&str| may.iter().any(|one| one == **wanted || one == "root" || one == "sudo");
            let lacks: Vec<&str> = needed.iter().filter(|wanted| !has(wanted)).copied().collect();
            if !lacks.is_empty() {
                let words = format!("our login lacks {} on {}", lacks.join(", "), path.join("/"));
                missing.push(self.client.fault(FaultKind::NotPermitted, Touched::Nothing, &words));
            }
        }
        Ok(missing)
    }

    fn retire(&self) -> &'static str {
        match self.client.config.retired {
            Retired::Destroy => "destroy",
            Retired::Delete => "delete",
        }
    }

    /// What we may do at a path.
    async fn capabilities(&self, path: &[String]) -> Result<Vec<String>, Fault> {
        let body = serde_json::json!({ "paths": [path.join("/")] }).to_string().into_bytes();
        let ask = ["sys", "capabilities-self"].map(str::to_owned).to_vec();
        let reply = self.client.ask(&Request::post(ask, body)).await?;
        let Some(May { capabilities }) = reply.json::<May>().filter(|_| reply.is_success()) else {
            return Err(self.client.refusal(&reply, false));
        };
        Ok(capabilities)
    }

    /// How far the active node is; `None` where nodes do not tell, and none lags. Only a write is sure to reach it: this
    /// one goes to a place that every token has to itself, and that ends with it.
    async fn index(&self) -> Result<Option<HeaderValue>, Fault> {
        if self.client.session(None).await?.index.is_none() {
            return Ok(None);
        }
        let place = ["cubbyhole", "handover"].map(str::to_owned).to_vec();
        let reply = self.client.ask(&Request::post(place, br#"{"of":"reads"}"#.to_vec())).await?;
        if reply.is_success() { Ok(reply.index) } else { Err(self.client.refusal(&reply, false)) }
    }

    /// Reads at a group's path, and nothing that is older than when this was called.
    async fn read(&self, on: Shelf, operation: &str, group: &GroupId, version: Option<u64>) -> Result<Reply, Fault> {
        let path = self.path(on, operation, group)?;
        let index = self.index().await?;
        self.client.ask(&Request { version, index, ..Request::get(path) }).await
    }

    /// A version of a group's path, the newest without a number; `None` if there never was one.
    async fn found(&self, on: Shelf, group: &GroupId, version: Option<u64>) -> Result<Option<Found>, Fault> {
        let reply = self.read(on, "data", group, version).await?;
        if reply.is_nothing_there() {
            return Ok(None);
        }
        // What was deleted or destroyed is not found either, with the version that it was.
        match reply.json::<document::Read>() {
            Some(read) if reply.is_success() || reply.status == 404 => Ok(Some(read.found(&self.sealer, group, on))),
            _ => Err(self.client.refusal(&reply, false)),
        }
    }

    async fn write(
        &self,
        on: Shelf,
        group: &GroupId,
        value: &Value<'_>,
        publication: Publication,
        at: u64,
    ) -> Result<StoreVersion, Fault> {
        let Value { who, fields, secret, .. } = value;
        let label = Label { publication, generation: who.generation, candidate: who.candidate };
        let texts = self.texts(fields, secret)?;
        let text = label.text(&self.sealer, group, on, at + 1, &texts);
        let body = document::body(texts, text, at);
        let reply = self.client.ask(&Request::post(self.path(on, "data", group)?, body)).await?;
        if !reply.is_success() {
            return Err(self.client.refusal(&reply, true));
        }
        match reply.json::<document::Written>() {
            Some(written) if written.data.version == at + 1 => Ok(written.data.store_version()),
            _ => Err(self.client.fault(
                FaultKind::Unsupported,
                Touched::Unknown,
                "its answer to a write is not that of a KV version 2",
            )),
        }
    }

    fn texts(&self, fields: &[(String, String)], secret: &Secret) -> Result<Texts, Fault> {
        document::texts(&self.client.config.value_field, fields, secret).ok_or_else(|| {
            self.client.config.misconfigured("value_field is one of the fields that the target has beside the value")
        })
    }

    /// The newest version, and all that can be read, oldest first; `None` if there never was one.
    async fn listed(&self, on: Shelf, group: &GroupId) -> Result<Option<(u64, Vec<u64>)>, Fault> {
        let reply = self.read(on, "metadata", group, None).await?;
        if reply.is_nothing_there() {
            return Ok(None);
        }
        match reply.json::<Listed>().filter(|_| reply.is_success()) {
            Some(listed) => Ok(Some(listed.readable())),
            None => Err(self.client.refusal(&reply, false)),
        }
    }

    /// The generations of all versions that can still be read and bear our label, with their numbers, oldest first.
    async fn labelled(&self, on: Shelf, group: &GroupId, numbers: Vec<u64>) -> Result<Vec<(u64, Generation)>, Fault> {
        let mut labelled = Vec::with_capacity(numbers.len());
        for number in numbers {
            let label = self.found(on, group, Some(number)).await?.and_then(|found| found.label);
            labelled.extend(label.map(|label| (number, label.generation)));
        }
        Ok(labelled)
    }

    /// The numbers of versions that can still be read and are of a generation; `Conflict` if the newest is.
    async fn versions_of(&self, group: &GroupId, generation: Generation) -> Result<Vec<u64>, Fault> {
        let Some((newest, readable)) = self.listed(Shelf::Current, group).await? else { return Ok(Vec::new()) };
        let labelled = self.labelled(Shelf::Current, group, readable).await?;
        let of = labelled.into_iter().filter(|(_, bears)| *bears == generation).map(|(number, _)| number);
        let numbers: Vec<u64> = of.collect();
        if numbers.contains(&newest) {
            let words = format!("generation {generation} of {group} is current there");
            return Err(self.client.fault(FaultKind::Conflict, Touched::Nothing, &words));
        }
        Ok(numbers)
    }

    /// Takes away these versions, as retired ones are.
    async fn take_away(&self, on: Shelf, group: &GroupId, versions: &[u64]) -> Result<(), Fault> {
        if versions.is_empty() {
            return Ok(());
        }
        let body = serde_json::json!({ "versions": versions }).to_string().into_bytes();
        let reply = self.client.ask(&Request::post(self.path(on, self.retire(), group)?, body)).await?;
        if reply.is_success() { Ok(()) } else { Err(self.client.refusal(&reply, true)) }
    }

    fn path(&self, on: Shelf, operation: &str, group: &GroupId) -> Result<Vec<String>, Fault> {
        let mut path = self.client.config.mount_segments()?;
        path.push(operation.to_owned());
        match on {
            Shelf::Current => {}
            Shelf::Staging => path.push(config::STAGING.to_owned()),
        }
        path.extend(self.client.config.path_of(group)?);
        Ok(path)
    }
}

#[derive(Deserialize)]
struct May {
    #[serde(default)]
    capabilities: Vec<String>,
}

impl SecretStore for Vault {
    fn capability(&self) -> StoreCapability {
        // The engine drops the oldest version by itself when there are too many: no number of them is a limit to us.
        StoreCapability { stages: true, fences: true, versions_max: None, shared: true }
    }

    fn head<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Option<Head>> {
        Box::pin(async move {
            let found = self.found(Shelf::Current, group, None).await?;
            Ok(found.map(|Found { version, label, .. }| Head {
                version: version.store_version(),
                publication: label.map(|label| label.publication),
                generation: label.map(|label| label.generation),
            }))
        })
    }

    fn put<'a>(&'a self, _group: &'a GroupId, _value: &'a Value<'a>) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn stage<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, ()> {
        Box::pin(self.keep_apart(group, value))
    }

    fn is_staged<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, bool> {
        Box::pin(self.is_kept_apart(group, value))
    }

    fn unstage<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, ()> {
        Box::pin(self.forget_apart(group, generation))
    }

    fn retained<'a>(&'a self, group: &'a GroupId) -> Answer<'a, BTreeSet<Generation>> {
        Box::pin(self.not_current(group))
    }

    fn point<'a>(
        &'a self,
        group: &'a GroupId,
        value: &'a Value<'a>,
        publication: Publication,
        expect: Option<&'a StoreVersion>,
    ) -> Answer<'a, StoreVersion> {
        Box::pin(async move {
            // The server compares the number alone. Whether it is that number of the same making is looked at before.
            let found = self.found(Shelf::Current, group, None).await?;
            let stands = found.as_ref().map(|found| found.version.store_version());
            if stands.as_ref() != expect {
                let words = format!("the path of {group} is not at the expected version any more");
                return Err(self.client.fault(FaultKind::Conflict, Touched::Nothing, &words));
            }
            let at = found.map_or(0, |found| found.version.version);
            self.write(Shelf::Current, group, value, publication, at).await
        })
    }

    fn recall<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, Option<(Candidate, Secret)>> {
        Box::pin(async move {
            let Some((_, readable)) = self.listed(Shelf::Current, group).await? else { return Ok(None) };
            // The newest first: of several candidates it is the one in force, if one is.
            for number in readable.into_iter().rev() {
                let Some(found) = self.found(Shelf::Current, group, Some(number)).await? else { continue };
                let Some(label) = found.label.filter(|label| label.generation == generation) else { continue };
                let value = document::value(found.texts, &self.client.config.value_field);
                return Ok(value.map(|value| (label.candidate, value)));
            }
            Ok(None)
        })
    }

    fn discard<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, ()> {
        Box::pin(async move {
            let versions = self.versions_of(group, generation).await?;
            self.take_away(Shelf::Current, group, &versions).await
        })
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("name", &self.client.config.name).finish_non_exhaustive()
    }
}
