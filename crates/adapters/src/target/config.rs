//! Targets as they are configured.

use std::path::Path;
use std::sync::Arc;

use handover_core::port::Target;
use handover_core::{Fault, FaultKind, GroupId, Slot};
use handover_secret::Secret;
use serde::Deserialize;

use super::{TargetKind, postgres, redis};
use crate::shared::Shared;

/// A group's target as configured: `kind`, and that kind's options.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum TargetConfig {
    /// Twin users of a PostgreSQL cluster.
    Postgres(Shared<postgres::Config>),
    /// Twin users of a Redis, at all of its nodes.
    Redis(Shared<redis::Config>),
}

impl TargetConfig {
    /// Which kind it is.
    pub const fn kind(&self) -> TargetKind {
        match self {
            Self::Postgres(_) => TargetKind::Postgres,
            Self::Redis(_) => TargetKind::Redis,
        }
    }

    /// The file that holds our own password at the target.
    pub fn admin_password_file(&self) -> &Path {
        match self {
            Self::Postgres(config) => &config.admin.password_file,
            Self::Redis(config) => &config.admin.password_file,
        }
    }

    /// The file that holds the CA to trust.
    pub fn ca_file(&self) -> &Path {
        match self {
            Self::Postgres(config) => &config.ca_file,
            Self::Redis(config) => &config.ca_file,
        }
    }

    /// Has the paths of files start at this directory.
    pub fn resolve(&mut self, directory: &Path) {
        match self {
            Self::Postgres(config) => config.resolve(directory),
            Self::Redis(config) => config.resolve(directory),
        }
    }

    /// Has what is the same as in targets that were met before be one with theirs.
    pub fn share(&mut self, common: &mut Common) {
        match self {
            Self::Postgres(config) => config.share(&mut common.postgres),
            Self::Redis(config) => config.share(&mut common.redis),
        }
    }

    /// Looks for what cannot be meant, without opening anything.
    ///
    /// # Errors
    /// `Misconfigured`, in words for whoever wrote it.
    pub fn check(&self) -> Result<(), Fault> {
        match self {
            Self::Postgres(config) => config.check(),
            Self::Redis(config) => config.check(),
        }
    }

    /// What is allowed, and weaker than it could be; in words for whoever wrote it.
    pub fn cautions(&self) -> Vec<String> {
        match self {
            Self::Postgres(config) => config.cautions(),
            Self::Redis(_) => Vec::new(),
        }
    }

    /// What consumers need beside the value to use the credential in `slot`, as `(field, text)`; `None` if there is no
    /// such slot.
    pub fn fields(&self, slot: Slot) -> Option<Vec<(String, String)>> {
        match self {
            Self::Postgres(config) => config.fields(slot),
            Self::Redis(config) => config.fields(slot),
        }
    }

    /// Looks after the adoption of `user`, which is in use at the target of `group` already. The rest as for
    /// [`TargetConfig::build`].
    pub fn adoption(
        self,
        group: GroupId,
        admin_password: impl Into<Arc<Secret>>,
        ca_pem: &[u8],
        user: &str,
    ) -> Result<postgres::Adoption, Fault> {
        match self {
            Self::Postgres(config) => {
                postgres::Adoption::new(postgres::Postgres::new(config, group, admin_password, ca_pem)?, user)
            }
            Self::Redis(_) => {
                let detail = format!(
                    "a user of Redis cannot be adopted yet: rotate the group's twins, have the applications take the credential \
                     from here, then switch {user} off"
                );
                Err(Fault::untouched(FaultKind::Unsupported, detail))
            }
        }
    }

    /// Makes the target of `group`. `admin_password` and `ca_pem` are the contents of the two files.
    pub fn build(
        self,
        group: GroupId,
        admin_password: impl Into<Arc<Secret>>,
        ca_pem: &[u8],
    ) -> Result<Arc<dyn Target>, Fault> {
        match self {
            Self::Postgres(config) => {
                Ok(Arc::new(postgres::Postgres::new(config, group, admin_password, ca_pem)?) as Arc<dyn Target>)
            }
            Self::Redis(config) => {
                Ok(Arc::new(redis::Redis::new(config, group, admin_password, ca_pem)?) as Arc<dyn Target>)
            }
        }
    }
}

/// What targets have in common that were met so far.
#[derive(Debug, Default)]
pub struct Common {
    postgres: postgres::Common,
    redis: redis::Common,
}
