//! Envelope encryption: how values rest on disk.
//!
//! A [`MasterKey`] stays outside the files that it protects. It wraps one [`DataKey`] per group and file, and the data
//! key seals the group's values with AES-256-GCM, each under a key of its own that is derived for this one message, so
//! that no number of messages is too many for a data key. Associated data name the place of a value (group, generation,
//! candidate, purpose), each part with its length before it, so that a sealed value that is moved to another place does
//! not open. Keys for wrapping and for digests are separated by HKDF-SHA-256.
//!
//! How a file of sealed values uses it:
//!
//! ```
//! use handover_adapters::seal::{MasterKey, Place, Purpose, Sealer};
//! use handover_core::{Candidate, Generation, GroupId};
//! use handover_secret::Secret;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("master.key");
//! let sealer = Sealer::new(MasterKey::create(&path)?);
//! let group = GroupId::parse("orders-db")?;
//!
//! // Once per group: keep `wrapped` beside the values.
//! let (_, wrapped) = sealer.mint_key(&group)?;
//!
//! // For each value.
//! let key = sealer.open_key(&group, &wrapped)?;
//! let place =
//!     Place { group: &group, generation: Generation(1), candidate: Candidate(1), purpose: Purpose::StoreValue };
//! let sealed = key.seal(place, &Secret::from_text("value".to_owned()))?;
//! assert!(key.open(place, &sealed)?.matches(&Secret::from_text("value".to_owned())));
//! # Ok(())
//! # }
//! ```

mod frame;
mod integrity;
mod key;
mod master;
mod message;
mod sign;

#[cfg(feature = "store-vault")]
pub(crate) use frame::framed;
pub use integrity::{Integrity, MAC_BYTES};
pub use key::{DataKey, Place, Purpose, Sealer};
pub use master::MasterKey;
#[cfg(feature = "state-sqlite")]
pub(crate) use master::{beside, sync_folder};
pub use sign::{Signer, Verifier};
