//! Remote stores: made from the configuration, and bound to the groups that name them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use handover_adapters::seal::Sealer;
use handover_adapters::store::embedded::Embedded;
use handover_adapters::store::{RemoteStore, RemoteStoreConfig};
use handover_core::port::SecretStore;
use handover_core::{Fault, FaultKind, GroupId, StoreId};
use tokio::time::timeout;

use crate::config::{Config, Group, STORE_EMBEDDED};
use crate::failure::Failure;
use crate::file;

/// How long a remote store may take to answer all questions about one group.
const STORE_PATIENCE: Duration = Duration::from_secs(15);

/// The stores of a group, as the engine has them.
type Stores = Arc<BTreeMap<StoreId, Arc<dyn SecretStore>>>;

/// A remote store, and what it was made from.
#[derive(Clone)]
pub(crate) struct WiredStore {
    config: RemoteStoreConfig,
    ca_pem: Option<Vec<u8>>,
    store: RemoteStore,
}

impl WiredStore {
    /// Reads the CA file, and contacts nobody. What we log in with is read at each login, so that whoever exchanges that
    /// file need not tell us.
    pub(crate) fn make(config: &RemoteStoreConfig, sealer: &Arc<Sealer>) -> Result<Self, Failure> {
        let ca_pem = config.ca_file().map(|path| file::public(path, "the CA file")).transpose()?;
        let path = config.credential_file().to_owned();
        file::secret(&path, "the file that auth names")?;
        let credential = move || {
            file::secret(&path, "the file that auth names")
                .map_err(|failure| Fault::untouched(FaultKind::Unauthenticated, failure.message()))
        };
        let store = config.clone().build(ca_pem.as_deref(), Arc::new(credential), Arc::clone(sealer))?;
        Ok(Self { config: config.clone(), ca_pem, store })
    }

    /// All of a configuration.
    pub(crate) fn make_all(config: &Config, sealer: &Arc<Sealer>) -> Result<Vec<Self>, Failure> {
        config.remote_stores.iter().map(|store| Self::make(store, sealer)).collect()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.config.name()
    }

    /// Whether both were made from the same.
    fn is_same(&self, other: &Self) -> bool {
        self.config == other.config && self.ca_pem == other.ca_pem
    }

    /// What stands in the way of a group's rotations there.
    pub(crate) async fn look(&self, group: &GroupId, stages: bool) -> Vec<Fault> {
        match timeout(STORE_PATIENCE, self.store.preflight(group, stages)).await {
            Ok(Ok(faults)) => faults,
            Ok(Err(fault)) => vec![fault],
            Err(_) => vec![Fault::untouched(FaultKind::TimedOut, "the store did not answer all questions in time")],
        }
    }
}

/// Those of `fresh` that are the same as before are the ones of before, with their logins.
pub(crate) fn keep(before: &[WiredStore], fresh: Vec<WiredStore>) -> Vec<WiredStore> {
    let kept = |new: WiredStore| before.iter().find(|old| old.is_same(&new)).cloned().unwrap_or(new);
    fresh.into_iter().map(kept).collect()
}

/// Whether a group's stores are made from the same as before.
pub(crate) fn same_for(group: &Group, before: &[WiredStore], now: &[WiredStore]) -> bool {
    let find = |all: &[WiredStore], name: &str| all.iter().find(|store| store.name() == name).cloned();
    group.stores.iter().all(|name| match (find(before, name), find(now, name)) {
        (Some(old), Some(new)) => old.is_same(&new),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    })
}

/// Finds the stores of groups; those that several have in common are there once.
pub(crate) struct Shelf {
    all: BTreeMap<String, (StoreId, Arc<dyn SecretStore>)>,
    /// Of the group before: most have the same.
    before: Option<(Arc<Vec<String>>, Stores)>,
}

impl Shelf {
    pub(crate) fn new(embedded: &Embedded, remote: &[WiredStore]) -> Self {
        let embedded: (String, Arc<dyn SecretStore>) = (STORE_EMBEDDED.to_owned(), Arc::new(embedded.clone()));
        let remote = remote.iter().map(|wired| (wired.name().to_owned(), wired.store.port()));
        let named = std::iter::once(embedded).chain(remote);
        let all = named.filter_map(|(name, store)| Some((name.clone(), (StoreId::parse(&name).ok()?, store))));
        Self { all: all.collect(), before: None }
    }

    pub(crate) fn stores(&mut self, group: &Group) -> Result<Stores, Failure> {
        if let Some((names, stores)) = &self.before
            && *names == group.stores
        {
            return Ok(Arc::clone(stores));
        }
        let find = |name: &String| {
            let unknown = || Failure::error(format!("group {}: there is no store {name}", group.name));
            self.all.get(name).cloned().ok_or_else(unknown)
        };
        let stores: Stores = Arc::new(group.stores.iter().map(find).collect::<Result<_, _>>()?);
        self.before = Some((Arc::clone(&group.stores), Arc::clone(&stores)));
        Ok(stores)
    }
}
