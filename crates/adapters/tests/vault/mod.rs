//! A real OpenBao, and stores in it.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handover_adapters::seal::{MasterKey, Sealer};
use handover_adapters::store::vault::{Auth, Config, Retired, Vault};
use handover_core::port::{Answer, SecretStore};
use handover_core::{Generation, GroupId};
use handover_secret::Secret;
use handover_testkit::conformance::store::{Harness, Intrusion, Seen};
use handover_testkit::servers::{AppRole, OpenBao};
use serde_json::{Value, json};

pub(crate) struct VaultHarness {
    pub(crate) server: Arc<OpenBao>,
    pub(crate) role: Arc<Mutex<AppRole>>,
    pub(crate) config: Config,
    sealer: Arc<Sealer>,
}

impl VaultHarness {
    /// On a server, with a role of this name.
    pub(crate) fn on(server: Arc<OpenBao>, name: &str, life_s: u64) -> Self {
        let role = server.role(name, "kv", life_s).unwrap();
        let auth = Auth::AppRole {
            mount: "approle".to_owned(),
            role_id: role.role_id.clone(),
            secret_id_file: "not read by the store itself".into(),
        };
        let config = Config {
            name: "bao".to_owned(),
            url: server.url(),
            namespace: None,
            mount: "kv".to_owned(),
            path: "handover/{group}".to_owned(),
            value_field: "password".to_owned(),
            ca_file: Some("not read by the store itself".into()),
            auth,
            retired: Retired::Destroy,
        };
        let sealer = Arc::new(Sealer::new(MasterKey::from_bytes(zeroize::Zeroizing::new([7; 32]))));
        Self { server, role: Arc::new(Mutex::new(role)), config, sealer }
    }

    pub(crate) fn store(&self) -> Arc<Vault> {
        self.store_with(self.config.clone())
    }

    pub(crate) fn store_with(&self, config: Config) -> Arc<Vault> {
        let ca = config.url.starts_with("https").then(|| self.server.ca_pem().as_bytes());
        self.store_trusting(config, ca)
    }

    pub(crate) fn store_trusting(&self, config: Config, ca: Option<&[u8]>) -> Arc<Vault> {
        let role = Arc::clone(&self.role);
        let credential = move || Ok(Secret::from_text(role.lock().unwrap().secret_id.clone()));
        Arc::new(Vault::new(config, ca, Arc::new(credential), Arc::clone(&self.sealer)).unwrap())
    }

    /// What is read there by somebody who may read everything.
    pub(crate) fn data(&self, group: &GroupId, version: u64) -> Option<Value> {
        let path = format!("kv/data/handover/{group}?version={version}");
        let (status, answer) = self.server.ask("GET", &path, &Value::Null).unwrap();
        (status == 200).then(|| answer["data"]["data"].clone())
    }

    /// All that can be read where candidates are staged.
    pub(crate) fn staged(&self, group: &GroupId) -> Vec<Value> {
        let path = format!("kv/metadata/handover-staging/handover/{group}");
        let (_, answer) = self.server.ask("GET", &path, &Value::Null).unwrap();
        let numbers = answer["data"]["versions"].as_object().into_iter().flatten().map(|(number, _)| number.clone());
        let read = |number: String| {
            let path = format!("kv/data/handover-staging/handover/{group}?version={number}");
            let (status, answer) = self.server.ask("GET", &path, &Value::Null).unwrap();
            (status == 200).then(|| answer["data"]["data"].clone())
        };
        numbers.filter_map(read).collect()
    }

    /// The numbers of all versions.
    pub(crate) fn versions(&self, group: &GroupId) -> Vec<u64> {
        let path = format!("kv/metadata/handover/{group}");
        let (_, answer) = self.server.ask("GET", &path, &Value::Null).unwrap();
        let versions = answer["data"]["versions"].as_object().into_iter().flatten();
        let mut numbers: Vec<u64> = versions.map(|(number, _)| number.parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    }
}

impl Harness for VaultHarness {
    fn client(&self) -> Arc<dyn SecretStore> {
        self.store()
    }

    fn consumer_sees<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Option<Seen>> {
        Box::pin(async move {
            let Some(Value::Object(mut data)) = self.data(group, 0) else { return Ok(None) };
            let label = data.remove("handover").unwrap();
            assert!(label.as_str().unwrap().starts_with(&format!("group={group} ")), "{label}");
            let text = |value: Value| value.as_str().unwrap().to_owned();
            let secret = match (data.remove("password"), data.remove("password_base64")) {
                (Some(value), None) => text(value).into_bytes(),
                (None, Some(value)) => BASE64_STANDARD.decode(text(value)).unwrap(),
                (one, two) => panic!("one value: {one:?}, {two:?}"),
            };
            let fields = data.into_iter().map(|(name, value)| (name, text(value))).collect();
            Ok(Some(Seen { fields, secret: Secret::from_bytes(secret) }))
        })
    }

    fn readable<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, usize> {
        Box::pin(async move {
            let of = |number: &u64| {
                let data = self.data(group, *number)?;
                data["handover"].as_str()?.contains(&format!(" generation={generation} ")).then_some(())
            };
            let staged = self.staged(group).into_iter().filter(|data| {
                data["handover"].as_str().is_some_and(|label| label.contains(&format!(" generation={generation} ")))
            });
            Ok(self.versions(group).iter().filter_map(of).count() + staged.count())
        })
    }

    fn intrude<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Intrusion> {
        Box::pin(async move {
            let body = json!({ "data": { "password": "of somebody else" } });
            self.server.done("POST", &format!("kv/data/handover/{group}"), &body).unwrap();
            Ok(Intrusion::Foreign)
        })
    }

    fn at_rest(&self) -> Vec<u8> {
        self.server.at_rest().unwrap()
    }
}
