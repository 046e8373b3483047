//! Stores of others, as they are configured.

use std::path::Path;
use std::sync::Arc;

use handover_core::port::SecretStore;
use handover_core::{Fault, FaultKind, GroupId, StoreId};
use serde::Deserialize;

use super::{StoreKind, vault};
use crate::seal::Sealer;

/// A remote store as configured: `kind`, and that kind's options.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum RemoteStoreConfig {
    /// A KV version 2 engine of OpenBao or Vault.
    Vault(vault::Config),
}

impl RemoteStoreConfig {
    /// Which kind it is.
    pub const fn kind(&self) -> StoreKind {
        match self {
            Self::Vault(_) => StoreKind::Vault,
        }
    }

    /// Its name, by which groups name it.
    pub fn name(&self) -> &str {
        match self {
            Self::Vault(config) => &config.name,
        }
    }

    /// The file with the CA to trust, if it names one.
    pub fn ca_file(&self) -> Option<&Path> {
        match self {
            Self::Vault(config) => config.ca_file.as_deref(),
        }
    }

    /// The file with what we log in with.
    pub fn credential_file(&self) -> &Path {
        match self {
            Self::Vault(config) => config.auth.file(),
        }
    }

    /// Has relative paths of files start at `directory`.
    pub fn resolve(&mut self, directory: &Path) {
        match self {
            Self::Vault(config) => config.resolve(directory),
        }
    }

    /// Looks for what cannot be meant, without opening anything.
    ///
    /// # Errors
    /// `Misconfigured`, in words for whoever wrote it.
    pub fn check(&self) -> Result<(), Fault> {
        if let Err(bad) = StoreId::parse(self.name()) {
            return Err(Fault::untouched(FaultKind::Misconfigured, format!("the name of a store: {bad}")));
        }
        match self {
            Self::Vault(config) => config.check(),
        }
    }

    /// Whether both would publish in one place.
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Vault(one), Self::Vault(two)) => one.place() == two.place(),
        }
    }

    /// Makes the store. Nothing is contacted yet. `ca_pem` is the content of the CA file; `credential` reads what we log
    /// in with.
    ///
    /// # Errors
    /// As [`RemoteStoreConfig::check`].
    pub fn build(
        self,
        ca_pem: Option<&[u8]>,
        credential: vault::Credential,
        sealer: Arc<Sealer>,
    ) -> Result<RemoteStore, Fault> {
        self.check()?;
        match self {
            Self::Vault(config) => {
                Ok(RemoteStore::Vault(Arc::new(vault::Vault::new(config, ca_pem, credential, sealer)?)))
            }
        }
    }
}

/// A remote store.
#[derive(Clone, Debug)]
pub enum RemoteStore {
    /// See [`RemoteStoreConfig::Vault`].
    Vault(Arc<vault::Vault>),
}

impl RemoteStore {
    /// The store as what publishes.
    pub fn port(&self) -> Arc<dyn SecretStore> {
        match self {
            Self::Vault(vault) => vault.clone(),
        }
    }

    /// Looks whether we may do for a group what a rotation does, one that `stages` if so asked. What is missing is the answer.
    ///
    /// # Errors
    /// If it could not look.
    pub async fn preflight(&self, group: &GroupId, stages: bool) -> Result<Vec<Fault>, Fault> {
        match self {
            Self::Vault(vault) => vault.preflight(group, stages).await,
        }
    }
}
