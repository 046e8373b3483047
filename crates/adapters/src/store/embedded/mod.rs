//! The embedded store: one SQLite file of sealed values and pointers, beside the state.
//!
//! A value is kept under its generation and candidate, sealed together with its fields. A head names the value that is
//! current; it moves in the same transaction that compares it with what the caller expects. Heads bear a keyed checksum
//! over everything they say and point to, so that an edit of the file is noticed, not served.
//!
//! One thread writes; changes that wait together are committed together. Reads use connections of their own and never
//! wait for a write. What was read lately stays in memory, as sealed as in the file, until anybody commits to the file.

mod fault;
mod readers;
mod recent;
mod rows;
mod schema;
mod wire;
mod writer;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use handover_core::port::{Answer, Head, SecretStore, Value};
use handover_core::{
    Candidate, ConsumerId, Fault, FaultKind, Generation, GroupId, Publication, StoreCapability, StoreVersion, Withheld,
};
use handover_secret::Secret;

use self::readers::Readers;
use self::recent::Recent;
use self::rows::{Put, Rows};
use self::writer::Writer;
use crate::seal::Sealer;

/// A handle to the file. Handles of several processes may be open at once: their transactions exclude each other.
#[derive(Clone)]
pub struct Embedded {
    rows: Arc<Rows>,
    writer: Writer,
    readers: Readers,
    recent: Recent,
}

impl Embedded {
    /// Opens the file, or makes it with mode 0600. Blocks: call it while starting.
    ///
    /// # Errors
    /// `Corrupt` if the file is torn, edited, no file of ours, or was made with another master key; `Unsupported` if a
    /// newer version wrote it or the file system cannot hold it; `NotPermitted`, `Missing`, `Storage`, `Busy`.
    pub fn open(path: impl Into<PathBuf>, sealer: Arc<Sealer>) -> Result<Self, Fault> {
        let path = path.into();
        let (connection, integrity) = schema::open_writer(&path, &sealer)?;
        let writer = Writer::start(path.clone(), connection)?;
        let (readers, recent) = (Readers::new(path.clone()), Recent::open(&path)?);
        Ok(Self { rows: Arc::new(Rows { path, sealer, integrity }), writer, readers, recent })
    }

    /// What consumers get: the current value with all that belongs to it, of one moment; `None` if nothing was ever
    /// published. Auditing the read is the caller's duty.
    ///
    /// # Errors
    /// `Corrupt`, `Busy`, `Storage`.
    pub async fn read(&self, group: &GroupId) -> Result<Option<Current>, Fault> {
        let (known, at) = self.recent.find(group);
        if let Some(sealed) = known {
            return self.rows.unsealed(group, &sealed).map(Some);
        }
        let (rows, of) = (Arc::clone(&self.rows), group.clone());
        let found = self.readers.read(move |connection| rows.sealed(connection, &of)).await?;
        let Some(sealed) = found.map(Arc::new) else { return Ok(None) };
        let current = self.rows.unsealed(group, &sealed)?;
        self.recent.keep(group.clone(), sealed, at);
        Ok(Some(current))
    }

    /// What a consumer gets where this is current: that itself, or what is read instead of a candidate that is withheld from
    /// it. `None`: that is not kept any more, and what is current has moved on. One without a name is in no wave.
    ///
    /// # Errors
    /// As [`Embedded::read`].
    pub async fn own(
        &self,
        group: &GroupId,
        consumer: Option<&ConsumerId>,
        current: Current,
        withheld: Option<&Withheld>,
    ) -> Result<Option<Current>, Fault> {
        let Some(withheld) = withheld.filter(|withheld| withheld.keeps(current.generation, consumer)) else {
            return Ok(Some(current));
        };
        let kept = self.read_generation(group, withheld.instead.generation).await?;
        Ok(kept.map(|Kept { generation, fields, secret, .. }| Current {
            version: current.version,
            publication: withheld.publication,
            generation,
            fields,
            secret,
        }))
    }

    /// Under which number each of these groups publishes, in their order; `None` where nothing was ever published. Between
    /// two of them, heads may move. One that cannot be read leaves the others as they are.
    ///
    /// # Errors
    /// As [`Embedded::read`], of one or of all.
    pub async fn publications(&self, groups: &[GroupId]) -> Result<Vec<Result<Option<Publication>, Fault>>, Fault> {
        let mut found = Vec::with_capacity(groups.len());
        for some in groups.chunks(HEADS_MAX) {
            let (rows, some) = (Arc::clone(&self.rows), some.to_vec());
            let look = move |connection: &_| {
                let publication = |group| Ok(rows.head(connection, group)?.map(|standing| standing.publication));
                Ok(some.iter().map(publication).collect::<Vec<_>>())
            };
            found.extend(self.readers.read(look).await?);
        }
        Ok(found)
    }

    /// The value of a generation, whether or not it is current; `None` if it is not kept: it was discarded, or never
    /// put. Of several candidates, the current one if there is one, else the last. Auditing the read is the caller's
    /// duty.
    ///
    /// # Errors
    /// As [`Embedded::read`].
    pub async fn read_generation(&self, group: &GroupId, generation: Generation) -> Result<Option<Kept>, Fault> {
        let (rows, group) = (Arc::clone(&self.rows), group.clone());
        self.readers.read(move |connection| rows.kept(connection, &group, generation)).await
    }

    /// Forgets a group: its head, all its values, their key and its moves. Only of a group that is removed: whoever still
    /// reads it finds nothing. Absent is done.
    ///
    /// # Errors
    /// `Busy`, `Storage`.
    pub async fn forget(&self, group: &GroupId) -> Result<(), Fault> {
        let (rows, group) = (Arc::clone(&self.rows), group.clone());
        let forgotten = self.writer.change(move |connection| rows.forget(connection, &group)).await;
        self.recent.settle();
        forgotten
    }

    /// What is kept for a group, oldest first, without the values.
    ///
    /// # Errors
    /// As [`Embedded::read`].
    pub async fn labels(&self, group: &GroupId) -> Result<Vec<Label>, Fault> {
        let (rows, group) = (Arc::clone(&self.rows), group.clone());
        self.readers.read(move |connection| rows.labels(connection, &group)).await
    }

    /// The last 100 pointer moves of a group, oldest first. For people to read; nothing is decided by it.
    ///
    /// # Errors
    /// As [`Embedded::read`].
    pub async fn moves(&self, group: &GroupId) -> Result<Vec<Move>, Fault> {
        let (rows, group) = (Arc::clone(&self.rows), group.clone());
        self.readers.read(move |connection| rows.moves(connection, &group)).await
    }
}

impl SecretStore for Embedded {
    fn capability(&self) -> StoreCapability {
        StoreCapability { stages: true, fences: true, versions_max: None, shared: false }
    }

    fn head<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Option<Head>> {
        Box::pin(async move {
            let (rows, group) = (Arc::clone(&self.rows), group.clone());
            let head = self.readers.read(move |connection| rows.head(connection, &group)).await?;
            Ok(head.map(|standing| Head {
                version: standing.version,
                publication: Some(standing.publication),
                generation: Some(standing.generation),
            }))
        })
    }

    fn put<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, ()> {
        Box::pin(async move {
            let (rows, group, put) = (Arc::clone(&self.rows), group.clone(), Put::of(value)?);
            self.writer.change(move |connection| rows.keep(connection, &group, &put).map(drop)).await
        })
    }

    fn stage<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, ()> {
        // A value bears its generation and candidate, and none is current before a head names it.
        self.put(group, value)
    }

    fn is_staged<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, bool> {
        Box::pin(async move {
            let (rows, group, put) = (Arc::clone(&self.rows), group.clone(), Put::of(value)?);
            self.readers.read(move |connection| rows.is_kept(connection, &group, &put)).await
        })
    }

    fn unstage<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, ()> {
        Box::pin(async move {
            let (rows, group) = (Arc::clone(&self.rows), group.clone());
            self.writer.change(move |connection| rows.unstage(connection, &group, generation)).await
        })
    }

    fn retained<'a>(&'a self, group: &'a GroupId) -> Answer<'a, BTreeSet<Generation>> {
        Box::pin(async move {
            let (rows, group) = (Arc::clone(&self.rows), group.clone());
            self.readers.read(move |connection| rows.retained(connection, &group)).await
        })
    }

    fn point<'a>(
        &'a self,
        group: &'a GroupId,
        value: &'a Value<'a>,
        publication: Publication,
        expect: Option<&'a StoreVersion>,
    ) -> Answer<'a, StoreVersion> {
        Box::pin(async move {
            let (rows, group, put) = (Arc::clone(&self.rows), group.clone(), Put::of(value)?);
            let expect = expect.cloned();
            let act = move |connection: &_| rows.point(connection, &group, &put, publication, expect.as_ref());
            self.writer.change(act).await
        })
    }

    fn recall<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, Option<(Candidate, Secret)>> {
        Box::pin(async move {
            let kept = self.read_generation(group, generation).await?;
            Ok(kept.map(|kept| (kept.candidate, kept.secret)))
        })
    }

    fn discard<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, ()> {
        Box::pin(async move {
            let (rows, group) = (Arc::clone(&self.rows), group.clone());
            let discarded = self.writer.change(move |connection| rows.discard(connection, &group, generation)).await;
            self.recent.settle();
            discarded
        })
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("path", &self.rows.path).finish_non_exhaustive()
    }
}

impl Put {
    fn of(value: &Value<'_>) -> Result<Self, Fault> {
        let effect = value.id.as_str().to_owned();
        let label = Label { generation: value.who.generation, candidate: value.who.candidate, effect };
        let plain = wire::encode(value);
        if plain.len() > VALUE_BYTES_MAX {
            let words = format!("the value of {effect} is longer than 1 MiB with its fields", effect = label.effect);
            return Err(Fault::untouched(FaultKind::Unsupported, words));
        }
        Ok(Self { label, plain })
    }
}

/// The current value of a group.
#[derive(Debug)]
pub struct Current {
    /// The store's version.
    pub version: StoreVersion,
    /// Under which number it was published.
    pub publication: Publication,
    /// Whose value.
    pub generation: Generation,
    /// What consumers need beside the value: `(field, text)`.
    pub fields: Vec<(String, String)>,
    /// The value.
    pub secret: Secret,
}

/// A value that is kept, current or not.
#[derive(Debug)]
pub struct Kept {
    /// Whose value.
    pub generation: Generation,
    /// Which of its minted values.
    pub candidate: Candidate,
    /// What consumers need beside the value: `(field, text)`.
    pub fields: Vec<(String, String)>,
    /// The value.
    pub secret: Secret,
}

/// The label of a value that is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// Whose value.
    pub generation: Generation,
    /// Which of its minted values.
    pub candidate: Candidate,
    /// The effect that first put it there.
    pub effect: String,
}

/// One pointer move.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    /// The version that it led to.
    pub version: StoreVersion,
    /// Under which number.
    pub publication: Publication,
    /// To whose value.
    pub generation: Generation,
    /// To which of its minted values.
    pub candidate: Candidate,
}

/// How many heads are read before another reader may have the connection.
const HEADS_MAX: usize = 500;

/// The longest value with its fields. Values are read whole into memory, by every consumer that fetches.
const VALUE_BYTES_MAX: usize = 1024 * 1024;
