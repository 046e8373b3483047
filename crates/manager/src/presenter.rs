//! One who presents a credential, in this process.

use std::fmt;
use std::time::Duration;

use handover_adapters::store::embedded::{Current, Embedded};
use handover_core::port::{Delivery, SecretStore};
use handover_core::{ConsumerId, Fault, FaultKind, Generation, GroupId, Publication, Reach, Role, Withheld};
use handover_engine::Handle;
use handover_secret::Secret;
use rand::TryRngCore;
use rand::rngs::OsRng;
use tokio::sync::broadcast::error::RecvError;

/// How often a value is read anew because the pointer moved meanwhile.
const READS_MAX: u32 = 8;

/// How often is looked where no event tells of a change.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is published.
pub struct Published {
    /// Under which number. It grows with each change, also where a rotation was taken back.
    pub publication: u64,
    /// Whose value.
    pub generation: Generation,
    /// What is needed beside the value: `(field, text)`.
    pub fields: Vec<(String, String)>,
    /// The value.
    pub value: Secret,
    nonce: Vec<u8>,
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Published");
        shown.field("publication", &self.publication).field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Published {
    pub(crate) fn new(current: Current, nonce: Vec<u8>) -> Self {
        Self {
            publication: current.publication.0,
            generation: current.generation,
            fields: current.fields,
            value: current.secret,
            nonce,
        }
    }
}

/// Fetches what is published, and says how far it got.
#[derive(Clone)]
pub struct Presenter {
    engine: Handle,
    store: Embedded,
    group: GroupId,
    consumer: ConsumerId,
}

impl fmt::Debug for Presenter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presenter")
            .field("group", &self.group)
            .field("consumer", &self.consumer)
            .finish_non_exhaustive()
    }
}

impl Presenter {
    pub(crate) fn new(engine: Handle, store: Embedded, group: GroupId, consumer: &str) -> Result<Self, Fault> {
        let consumer = ConsumerId::parse(consumer)
            .map_err(|bad| Fault::untouched(FaultKind::Misconfigured, format!("a consumer's name: {}", bad.why)))?;
        Ok(Self { engine, store, group, consumer })
    }

    /// What is published; `None` before the first rotation. From then on this consumer is on the roll, and rotations wait
    /// for what it acknowledges. It is written to the history who read.
    pub async fn fetch(&self) -> Result<Option<Published>, Fault> {
        for _ in 0..READS_MAX {
            let Some(current) = self.store.read(&self.group).await? else { return Ok(None) };
            let (published, withheld) = (current.generation, self.engine.withheld(&self.group).await?);
            let own = self.store.own(&self.group, Some(&self.consumer), current, withheld.as_deref()).await?;
            let Some(current) = own else { continue };
            let delivery =
                Delivery { publication: current.publication, generation: current.generation, nonce: nonce()? };
            self.engine.delivered(&self.group, &self.consumer, Role::Presenter, &delivery).await?;
            // Had it moved between the read and the record, a roll could have been called without this consumer.
            let head = self.store.head(&self.group).await?;
            let stands = head.is_some_and(|head| head.version == current.version);
            let now = self.engine.withheld(&self.group).await?;
            if stands && self.is_kept(published, now.as_deref()) == self.is_kept(published, withheld.as_deref()) {
                self.engine.read(&self.group, &self.consumer, &delivery, true).await?;
                return Ok(Some(Published::new(current, delivery.nonce)));
            }
        }
        let words = format!("what {} publishes changed again and again while it was read", self.group);
        Err(Fault::untouched(FaultKind::Busy, words))
    }

    /// Waits for a publication after this one, and fetches it. 0 waits for the first. Where the policy has waves, a new one is
    /// waited for until it is this presenter's turn.
    pub async fn next(&self, after: u64) -> Result<Published, Fault> {
        let mut events = self.engine.events();
        loop {
            if self.published().await?.is_some_and(|publication| publication.0 > after)
                && let Some(published) = self.fetch().await?
            {
                return Ok(published);
            }
            match tokio::time::timeout(LOOK_EVERY, events.recv()).await {
                Err(_) | Ok(Ok(_) | Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) => {
                    return Err(Fault::untouched(FaultKind::Unreachable, "the engine has stopped"));
                }
            }
        }
    }

    /// Under which number this presenter reads.
    async fn published(&self) -> Result<Option<Publication>, Fault> {
        let head = self.store.head(&self.group).await?;
        let withheld = self.engine.withheld(&self.group).await?;
        let shown = |publication| match &withheld {
            Some(withheld) => withheld.shown(publication, &self.consumer),
            None => publication,
        };
        Ok(head.and_then(|head| head.publication).map(shown))
    }

    /// Whether this generation is withheld from this presenter, where the stores publish it.
    fn is_kept(&self, published: Generation, withheld: Option<&Withheld>) -> bool {
        withheld.is_some_and(|withheld| withheld.keeps(published, Some(&self.consumer)))
    }

    /// Says how far a publication got here. `Conflict` where it was not fetched by this presenter, or is another one's.
    pub async fn acknowledge(&self, published: &Published, reach: Reach) -> Result<(), Fault> {
        let delivery = self.engine.delivery(&self.group, &self.consumer, &published.nonce).await?;
        let publication = Publication(published.publication);
        if delivery
            .is_none_or(|delivery| (delivery.publication, delivery.generation) != (publication, published.generation))
        {
            let words = format!("{} did not fetch publication {publication} of {}", self.consumer, self.group);
            return Err(Fault::untouched(FaultKind::Conflict, words));
        }
        self.engine.acknowledged(&self.group, &self.consumer, Role::Presenter, publication, reach).await
    }
}

fn nonce() -> Result<Vec<u8>, Fault> {
    let mut bytes = vec![0; 16];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| Fault::untouched(FaultKind::Bug, "the operating system gave no randomness; nothing was read"))?;
    Ok(bytes)
}
