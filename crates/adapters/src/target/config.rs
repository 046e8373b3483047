//! Targets as they are configured.

use std::path::Path;
use std::sync::Arc;

use handover_core::port::Target;
use handover_core::{Fault, FaultKind, GroupId, Slot};
use handover_secret::Secret;
use serde::Deserialize;

use super::{TargetKind, none, postgres, redis};
use crate::shared::Shared;

/// A group's target as configured: `kind`, and that kind's options.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum TargetConfig {
    /// Twin users of a PostgreSQL cluster.
    Postgres(Shared<postgres::Config>),
    /// Twin users of a Redis, at all of its nodes.
    Redis(Shared<redis::Config>),
    /// No target: whoever accepts the value is a consumer.
    None(none::Config),
}

impl TargetConfig {
    /// Which kind it is.
    pub const fn kind(&self) -> TargetKind {
        match self {
            Self::Postgres(_) => TargetKind::Postgres,
            Self::Redis(_) => TargetKind::Redis,
            Self::None(_) => TargetKind::None,
        }
    }

    /// The file that holds our own password at the target; `None` where we have none.
    pub fn admin_password_file(&self) -> Option<&Path> {
        match self {
            Self::Postgres(config) => Some(&config.admin.password_file),
            Self::Redis(config) => Some(&config.admin.password_file),
            Self::None(_) => None,
        }
    }

    /// The file that holds the CA to trust; `None` where nobody is to be trusted.
    pub fn ca_file(&self) -> Option<&Path> {
        match self {
            Self::Postgres(config) => Some(&config.ca_file),
            Self::Redis(config) => Some(&config.ca_file),
            Self::None(_) => None,
        }
    }

    /// Has the paths of files start at this directory.
    pub fn resolve(&mut self, directory: &Path) {
        match self {
            Self::Postgres(config) => config.resolve(directory),
            Self::Redis(config) => config.resolve(directory),
            Self::None(_) => {}
        }
    }

    /// Has what is the same as in targets that were met before be one with theirs.
    pub fn share(&mut self, common: &mut Common) {
        match self {
            Self::Postgres(config) => config.share(&mut common.postgres),
            Self::Redis(config) => config.share(&mut common.redis),
            Self::None(_) => {}
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
            Self::None(_) => Ok(()),
        }
    }

    /// What is allowed, and weaker than it could be; in words for whoever wrote it.
    pub fn cautions(&self) -> Vec<String> {
        match self {
            Self::Postgres(config) => config.cautions(),
            Self::Redis(_) | Self::None(_) => Vec::new(),
        }
    }

    /// What consumers need beside the value to use the credential in `slot`, as `(field, text)`; `None` if there is no
    /// such slot.
    pub fn fields(&self, slot: Slot) -> Option<Vec<(String, String)>> {
        match self {
            Self::Postgres(config) => config.fields(slot),
            Self::Redis(config) => config.fields(slot),
            Self::None(_) => Some(Vec::new()),
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
            Self::None(_) => {
                let detail =
                    "this group has no target, so nobody can say that a value is in use there: begin with a rotation";
                Err(Fault::untouched(FaultKind::Unsupported, detail))
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

    /// Makes the target of `group`. `admin_password` and `ca_pem` are the contents of the two files; of none, where none is
    /// named.
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
            Self::None(_) => Ok(Arc::new(none::Nowhere) as Arc<dyn Target>),
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
