//! Ports: what the engine asks of the world. Traits only; they are async and name no runtime.
//!
//! Every method is described under the same headings. *If cut off* means that the future was dropped, or the process
//! died, at any await. Implementations do no retries, keep no timers and write no logs: wrappers do that, once, for all.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use handover_secret::Secret;

use crate::campaign::Campaign;
use crate::effect::Reach;
use crate::effect::{EffectId, Role, RollCall, Tally};
use crate::fault::{Fault, FaultKind};
use crate::id::{
    CampaignId, Candidate, ConsumerId, Epoch, Generation, GroupId, Publication, RowVersion, Slot, StoreVersion,
};
use crate::mint::{Label, Minted};
use crate::model::{Mark, Occupant, Row};
use crate::plan::{Moments, Plan, StoreCapability, TargetCapability};
use crate::time::Timestamp;

/// What a port method returns: a future without a named runtime.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

/// Something that is durably stored. Effects are derived from committed rows only (R1).
///
/// Only a state store makes one, by [`Committed::vouch`], after its transaction committed or for what it loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed<T>(T);

impl<T> Committed<T> {
    /// States that `value` is durable. For implementations of [`StateStore`] alone.
    pub fn vouch(value: T) -> Self {
        Self(value)
    }

    /// Gives the value back, to be changed; what comes of it is not committed.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Committed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A change that is about to be made at a target: what every write carries.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Idempotency key, and the label to leave at the provider.
    pub id: EffectId,
    /// Which generation, and where.
    pub who: Occupant,
    /// Compare it with the slot's mark and leave it there, in the same transaction as the change (R6).
    pub mark: Mark,
}

/// What a login attempt showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    /// The endpoint let the credential in.
    Accepted,
    /// The endpoint refused it, and let the control in, in the same round.
    Refused,
    /// Anything else: no answer, a limit reached, a control that failed too.
    Unknown,
}

/// What a whole round of verification showed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Every required endpoint let it in, with the right rights.
    Passed,
    /// This endpoint refused it, though it let the control in.
    Refused {
        /// The endpoint's configured name.
        endpoint: String,
    },
    /// It is let in, and lacks something that the current generation has.
    Unfit {
        /// What is missing, in our own words.
        missing: Vec<String>,
    },
}

/// What a slot's label says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It accepts logins.
    Accepting,
    /// It refuses logins, reversibly.
    Disabled,
    /// Its value is gone.
    Forgotten,
    /// There is no principal.
    Absent,
}

/// What stands in a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Which slot.
    pub slot: Slot,
    /// The generation that the label names.
    pub generation: Option<Generation>,
    /// The last mark, if we ever wrote one. It outlives the principal.
    pub mark: Option<Mark>,
    /// What it does.
    pub state: State,
}

/// What stays behind of a generation that the target has forgotten: litter, by which nobody can log in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remains {
    /// Which generation.
    pub generation: Generation,
    /// What it is and why it stays, with what clears it away.
    pub fault: Fault,
}

/// From where a credential is used. For people: nothing is decided by it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// The client's address, in words of the target; `None` where our user may not see it.
    pub address: Option<String>,
    /// How many uses come from there.
    pub uses: u32,
}

/// What makes values where we mint.
pub trait Generate: Send + Sync {
    /// **Does** make a value for this generation of the group. **Promises** that it is fresh: never one that it gave
    /// before, but by chance; that it is made of the operating system's randomness, or of a source as good. **May
    /// assume** that what is lost is made again. **If called twice** gives two values. **If cut off** nothing happened.
    /// **Errors** where none could be made (untouched).
    fn generate<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, Secret>;

    /// Whether it may give what it gave before, in spite of its promise: then the engine compares with what is in force.
    /// Pure and constant.
    fn may_repeat(&self) -> bool {
        true
    }
}

/// The system that accepts a credential.
pub trait Target: Send + Sync {
    /// What it can do. Pure and constant.
    fn capability(&self) -> TargetCapability;

    /// **Does** look for whatever would make a rotation fail: rights, slots, read-only endpoints, foreign principals.
    /// **Promises** to change nothing. **May assume** nothing. **If called twice** looks twice. **If cut off** nothing
    /// happened. **Errors** only if it could not look; what it found wrong is the answer, a fault per finding, each
    /// with the next step in its words.
    fn preflight(&self) -> Answer<'_, Vec<Fault>>;

    /// **Does** make the slot accept `value`. **Promises** that the change and the mark are one transaction; that a
    /// slot with a higher mark is left alone (`Fenced`, untouched); that other slots stay as they are; that the value
    /// reaches neither the target's log nor an argument list in clear. **May assume** that the intent is durable.
    /// **If called twice** with one intent and value, the second changes nothing that can be seen. **If cut off** the
    /// outcome is unknown. **Errors** `Rejected` if the target's policy refuses the value (untouched).
    fn create<'a>(&'a self, intent: &'a Intent, value: &'a Secret) -> Answer<'a, ()>;

    /// **Does** have the provider mint a credential under the label of `intent.who`, and gives its value, which is shown
    /// this once. **Promises** that the label is there as soon as the credential is; that no other credential is
    /// touched. **May assume** that the label is durable, and that nobody tries it twice. **If called twice** with one
    /// label there may be two. **If cut off** it may be there, or come later, and its value is lost. **Errors**
    /// `Foreign` (untouched) if no place is free; `Unsupported` where we mint.
    fn mint<'a>(&'a self, intent: &'a Intent) -> Answer<'a, Secret> {
        let detail = format!("this target mints nothing for generation {}", intent.who.generation);
        Box::pin(std::future::ready(Err(Fault::untouched(FaultKind::Unsupported, detail))))
    }

    /// **Does** list all credentials that take up places at a provider that mints, with our labels where they bear one.
    /// **Promises** to change nothing, and to leave none out that it was shown: those of others too. **If called twice**
    /// looks twice. **If cut off** nothing happened. **Errors** as for any connection; `Unsupported` where we mint.
    fn minted(&self) -> Answer<'_, Vec<Minted>> {
        let detail = "this target mints nothing";
        Box::pin(std::future::ready(Err(Fault::untouched(FaultKind::Unsupported, detail))))
    }

    /// **Does** delete what bears exactly this label at a provider that mints. **Promises** to ask for the label, and to
    /// touch nothing else; absent is done. **May assume** that nothing in force bears it, nor ever will. **If called
    /// twice** the second finds nothing. **If cut off** it may be gone. **Errors** as any write; `Unsupported` where we
    /// mint.
    fn unmint(&self, label: Label) -> Answer<'_, ()> {
        let detail = format!("this target mints nothing under {label}");
        Box::pin(std::future::ready(Err(Fault::untouched(FaultKind::Unsupported, detail))))
    }

    /// **Does** leave our label and the mark at a slot that accepts a value already, which a person says is this group's.
    /// **Promises** to leave the value as it is; that a slot with another group's label, or a higher mark, is left alone.
    /// **May assume** that the value was seen to be accepted. The rest as for [`Target::create`]. **Errors**
    /// `Unsupported` where nothing can be adopted.
    fn adopt<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()> {
        let detail = format!("this target cannot adopt what is in slot {}", intent.who.slot);
        Box::pin(std::future::ready(Err(Fault::untouched(FaultKind::Unsupported, detail))))
    }

    /// **Does** try one login at the main endpoint, and one with `control` if the first was refused. **Promises** at
    /// most one failed login per call. **May assume** that the caller bounds the calls. **If called twice** tries twice.
    /// **If cut off** a login may have happened. **Errors** none for a refusal or a dead endpoint: those are answers.
    fn probe<'a>(
        &'a self,
        who: Occupant,
        value: &'a Secret,
        control: Option<(Occupant, &'a Secret)>,
    ) -> Answer<'a, Probe>;

    /// **Does** one round of verification: at every required endpoint log in, take on the owner's role, compare rights
    /// with those of `control`. **Promises** to change nothing; to pass only if every endpoint passed. **If called
    /// twice** looks twice. **If cut off** nothing happened. **Errors** an endpoint that could not be asked is a fault,
    /// never a pass.
    fn verify<'a>(
        &'a self,
        who: Occupant,
        value: &'a Secret,
        control: Option<(Occupant, &'a Secret)>,
    ) -> Answer<'a, Verdict>;

    /// **Does** look for uses of these generations, over all endpoints. **Promises** `Unknown` where it lacks the right
    /// or the connection to see, never `None`. **If called twice** looks twice. **If cut off** nothing happened.
    /// **Errors** as for any connection; the engine takes a fault for `Unknown`.
    fn observe<'a>(&'a self, of: &'a [Occupant]) -> Answer<'a, Tally>;

    /// **Does** tell from where these generations are used, over all endpoints, each address once. **Promises** to change
    /// nothing; that what our user may not see is there as uses without an address. **If called twice** looks twice. **If
    /// cut off** nothing happened. **Errors** as for any connection. A target that cannot tell answers with nothing.
    fn sources<'a>(&'a self, of: &'a [Occupant]) -> Answer<'a, Vec<Source>> {
        let _ = of;
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// **Does** end open sessions of these generations. **Promises** to touch no other session. **If called twice** ends
    /// those that came since. **If cut off** some may have ended. **Errors** `NotPermitted` names the missing right.
    fn end_sessions<'a>(&'a self, of: &'a [Occupant]) -> Answer<'a, ()>;

    /// **Does** make the slot refuse logins, keeping its value. **Promises**, **may assume**, **if called twice**, **if
    /// cut off**: as for [`Target::create`]. Open sessions are left alone. **Errors** as any write.
    fn disable<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()>;

    /// **Does** undo [`Target::disable`]. **Promises** to write the mark even if the slot accepts already (R5).
    /// The rest as for [`Target::create`].
    fn enable<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()>;

    /// **Does** make the slot refuse logins and forget its value. **Promises** to write the mark even if nothing is
    /// there (absent is done), and that the mark outlives the principal. The rest as for [`Target::create`].
    fn destroy<'a>(&'a self, intent: &'a Intent) -> Answer<'a, ()>;

    /// **Does** look for what stays behind of generations that were forgotten, where forgetting could not clear all of it
    /// away. **Promises** to change nothing. **If called twice** looks twice. **If cut off** nothing happened. **Errors**
    /// as for any connection.
    fn remains(&self) -> Answer<'_, Vec<Remains>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// **Does** read the label of every slot. **Promises** to change nothing, and to report foreign principals as
    /// faults. **If called twice** reads twice. **If cut off** nothing happened. **Errors** `Foreign` for a principal
    /// that bears another group's label.
    fn census(&self) -> Answer<'_, Vec<Standing>>;
}

/// What a check looks at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Which generation, and where.
    pub who: Occupant,
    /// Its value.
    pub value: &'a Secret,
    /// What is published beside the value: `(field, text)`.
    pub fields: &'a [(String, String)],
    /// What else is accepted at the moment, if anything is.
    pub control: Option<(Occupant, &'a Secret)>,
}

/// What a check came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// It is as it should be.
    Passed,
    /// It is known not to be; the reason is in our own words, bounded, and holds nothing of an answer's body.
    Failed(String),
}

/// A question that was configured, asked about a credential beside the target's own verification.
pub trait Check: Send + Sync {
    /// Its name within the group.
    fn name(&self) -> &str;

    /// Its kind as one word.
    fn kind(&self) -> &'static str;

    /// When it is asked. Pure and constant.
    fn moments(&self) -> Moments;

    /// How long it may take. The caller keeps the time.
    fn patience(&self) -> Duration;

    /// **Does** ask once. **Promises** to change nothing; that the value reaches no argument list, environment, log or
    /// error; to pass only on an answer that says so. **If called twice** asks twice. **If cut off** nothing happened.
    /// **Errors** what could not be found out, or only by a skip, is a fault: never a pass, and no known failure.
    fn run<'a>(&'a self, subject: Subject<'a>) -> Answer<'a, Finding>;
}

/// A store's head: its version, and what it bears if it bears our label. Never the value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The store's own version.
    pub version: StoreVersion,
    /// The publication in our label; `None` if the head was written by somebody else.
    pub publication: Option<Publication>,
    /// The generation in our label.
    pub generation: Option<Generation>,
}

/// What is put into a store.
#[derive(Debug)]
pub struct Value<'a> {
    /// Idempotency key; the name of the staged version.
    pub id: &'a EffectId,
    /// Whose value.
    pub who: Occupant,
    /// What consumers need beside the value, such as the user's name: `(field, text)`.
    pub fields: &'a [(String, String)],
    /// The value.
    pub secret: &'a Secret,
}

/// Where values are published.
pub trait SecretStore: Send + Sync {
    /// What it can do. Pure and constant.
    fn capability(&self) -> StoreCapability;

    /// **Does** read the group's version and label; `None` if the store holds nothing for it. **Promises** never to
    /// return the value, and never a stale version. **If called twice** reads twice. **If cut off** nothing happened.
    /// **Errors** as for any connection.
    fn head<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Option<Head>>;

    /// **Does** keep the value, not current yet. **Promises** that readers see no difference. **May assume** that the
    /// intent is durable. **If called twice** with one id, there is one version. **If cut off** it may be there.
    /// **Errors** `Storage` if a quota is used up. A store that cannot stage does nothing here.
    fn put<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, ()>;

    /// **Does** keep the value under the group's staging label, apart from what is current. **Promises** that consumers see
    /// no difference; that what an earlier rotation left there is not taken for it. **May assume** that the intent is
    /// durable. **If called twice** with one value, it is there once. **If cut off** it may be there. **Errors**
    /// `Conflict` if somebody else wrote there at the same time; `Unsupported` where nothing can be staged.
    fn stage<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, ()> {
        let _ = value;
        nothing_is_staged(group)
    }

    /// **Does** read back, by the staging label, what a consumer would get of this value, and says whether it is the same,
    /// fields included. **Promises** to change nothing, and never an answer of before [`SecretStore::stage`]. **If called
    /// twice** looks twice. **Errors** as for any connection; `Unsupported` where nothing can be staged.
    fn is_staged<'a>(&'a self, group: &'a GroupId, value: &'a Value<'a>) -> Answer<'a, bool> {
        let _ = value;
        nothing_is_staged(group)
    }

    /// **Does** forget what is staged of a generation, and of earlier ones. **Promises** to leave what is current alone, and
    /// what is staged of a later generation. **If called twice**: absent is done. **If cut off** it may be gone. **Errors**
    /// as any write. A store that cannot stage does nothing here.
    fn unstage<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, ()> {
        let _ = (group, generation);
        Box::pin(std::future::ready(Ok(())))
    }

    /// **Does** list the generations of which it keeps a value that is not current, staged ones included. **Promises** to
    /// change nothing. **If called twice** looks twice. **Errors** as for any connection.
    fn retained<'a>(&'a self, group: &'a GroupId) -> Answer<'a, BTreeSet<Generation>> {
        let _ = group;
        Box::pin(std::future::ready(Ok(BTreeSet::new())))
    }

    /// **Does** make the value current, labelled with `publication`, if the store is at `expect`. **Promises** that the
    /// comparison and the move are one step; that the version moves even if the value is current already (R5); that
    /// versions never recur. **May assume** that [`SecretStore::put`] was called with the same value. **If called
    /// twice** the second is refused: the caller reads the head back. **If cut off** the outcome is unknown. **Errors**
    /// `Conflict` (untouched) at any other version.
    fn point<'a>(
        &'a self,
        group: &'a GroupId,
        value: &'a Value<'a>,
        publication: Publication,
        expect: Option<&'a StoreVersion>,
    ) -> Answer<'a, StoreVersion>;

    /// **Does** give back the value of a generation that it keeps, with its candidate; `None` if it keeps none, or gives
    /// none back. Only recovery asks. **Promises** to change nothing. **If called twice** reads twice. **Errors** as
    /// for any connection.
    fn recall<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, Option<(Candidate, Secret)>> {
        let _ = (group, generation);
        Box::pin(std::future::ready(Ok(None)))
    }

    /// **Does** forget the values of a retired generation. **Promises** to leave the current one alone. **If called
    /// twice**: absent is done. **If cut off** it may be gone. **Errors** `Conflict` if it is current.
    fn discard<'a>(&'a self, group: &'a GroupId, generation: Generation) -> Answer<'a, ()>;
}

fn nothing_is_staged<T: Send + 'static>(group: &GroupId) -> Answer<'static, T> {
    let detail = format!("this store can stage nothing for {group}");
    Box::pin(std::future::ready(Err(Fault::untouched(FaultKind::Unsupported, detail))))
}

/// A line of history, committed with the row that it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When, by our clock.
    pub at: Timestamp,
    /// What happened, as one constant word: `started`, `advanced`, `ordered`, …
    pub event: &'static str,
    /// Who caused it: `engine`, or an operator's or consumer's identity.
    pub actor: String,
    /// Details as `(name, text)`, never secret.
    pub fields: Vec<(&'static str, String)>,
}

/// A committed line of history with its place in the chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Position in the chain, from 1, without gaps.
    pub position: u64,
    /// The group it is about.
    pub group: GroupId,
    /// When, by our clock.
    pub at: Timestamp,
    /// The canonical body (JSON, one line), which is what the hash covers.
    pub body: String,
    /// SHA-256 over the previous hash and this record, in hexadecimal.
    pub hash: String,
}

/// What is loaded of a group.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its row.
    pub row: Committed<Row>,
    /// The plan of its rotation, if it has one.
    pub plan: Option<Plan>,
}

/// One commit of one row: all of it, or none of it.
#[derive(Debug)]
pub struct Commit {
    /// The row to store; its version is higher than `expect`.
    pub row: Row,
    /// The plan, when a rotation starts.
    pub plan: Option<Plan>,
    /// The version that the stored row must have; `None`: there must be no row.
    pub expect: Option<RowVersion>,
    /// The epoch of our lease.
    pub epoch: Epoch,
    /// A freshly minted value, sealed in the same transaction.
    pub candidate: Option<(Generation, Candidate, Secret)>,
    /// Generations whose sealed values are erased in the same transaction.
    pub erase: Vec<Generation>,
    /// When the group is due next; `None`: not before somebody asks.
    pub due_at: Option<Timestamp>,
    /// Lines of history.
    pub entries: Vec<Entry>,
}

/// One commit of a campaign's row: all of it, or none of it.
#[derive(Debug)]
pub struct CampaignCommit {
    /// The row to store; its version is higher than `expect`.
    pub campaign: Campaign,
    /// The version that the stored row must have; `None`: there must be no row.
    pub expect: Option<RowVersion>,
    /// The epoch of our lease.
    pub epoch: Epoch,
    /// The name that its history stands under: it is of no group.
    pub under: GroupId,
    /// Lines of history.
    pub entries: Vec<Entry>,
    /// Kept in the same transaction, if there is one.
    pub request: Option<Request>,
}

/// A request that was carried out, kept so that a repeat of it is answered and not carried out again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Whose it was.
    pub caller: String,
    /// The caller's own name for it.
    pub key: String,
    /// SHA-256 of what was asked: a repeat asks for the same.
    pub digest: [u8; 32],
    /// When it was carried out.
    pub at: Timestamp,
    /// What was answered, as text; never secret.
    pub answer: String,
}

/// How long a request is kept at least, in milliseconds: a day.
pub const REQUEST_KEPT_MS_MIN: i64 = 24 * 3_600 * 1_000;

/// How many campaigns that have ended are kept.
pub const CAMPAIGNS_ENDED_MAX: u64 = 1_000;

/// Where rows, sealed candidates and history are kept.
pub trait StateStore: Send + Sync {
    /// **Does** take the lease. **Promises** an epoch higher than any before, and that commits with a lower one are
    /// refused from now on. **If called twice** by one process, the same lease. **If cut off** the epoch may have grown.
    /// **Errors** `Fenced` while somebody else holds it.
    fn lease(&self) -> Answer<'_, Epoch>;

    /// **Does** list groups due at `now`, most overdue first, and the time of the next one after. **Promises** a cost
    /// that follows what is due. **If called twice** reads twice. **Errors** as storage.
    fn due(&self, now: Timestamp, limit: usize) -> Answer<'_, (Vec<GroupId>, Option<Timestamp>)>;

    /// **Does** load a group; `None` if there is none. **Errors** `Corrupt` if what is stored does not check out.
    fn load<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Option<Loaded>>;

    /// **Does** list all groups. **Errors** as storage.
    fn groups(&self) -> Answer<'_, Vec<GroupId>>;

    /// **Does** commit. **Promises** all or nothing, durable on return, candidates sealed with (group, generation,
    /// candidate) as associated data, history chained in commit order. Many commits may share one transaction; each
    /// has its own fence, and a fenced one drops out alone. **If called twice** the second is `Fenced`. **If cut off**
    /// the outcome is unknown: load. **Errors** `Fenced` if the stored version is not `expect` or the epoch is not the
    /// latest; `Storage` if the disk is full (untouched).
    fn commit(&self, commit: Commit) -> Answer<'_, Committed<Row>>;

    /// **Does** commit, and keep the request that ordered it, in the same transaction; forgets some of those that were
    /// kept for [`REQUEST_KEPT_MS_MIN`]. **Promises** what [`StateStore::commit`] promises, and that of two commits of one
    /// request one is done. **If called twice** or **cut off** as there: then [`StateStore::request`] says whether it was
    /// done. **Errors** as there; `Fenced` if the caller's request of this key is kept already.
    fn carry_out(&self, commit: Commit, request: Request) -> Answer<'_, Committed<Row>>;

    /// **Does** find a request that was carried out; `None` if there is none, or it was forgotten. **If called twice** reads
    /// twice. **Errors** `Corrupt` if what is kept was edited.
    fn request<'a>(&'a self, caller: &'a str, key: &'a str) -> Answer<'a, Option<Request>>;

    /// **Does** open the sealed value of a candidate; `None` if there is none. **Errors** `Corrupt` if it does not open.
    fn candidate<'a>(
        &'a self,
        group: &'a GroupId,
        generation: Generation,
        candidate: Candidate,
    ) -> Answer<'a, Option<Secret>>;

    /// **Does** list the sealed values of a group, in order, without opening them. **If called twice** reads twice.
    /// **Errors** as storage.
    fn candidates<'a>(&'a self, group: &'a GroupId) -> Answer<'a, Vec<(Generation, Candidate)>>;

    /// **Does** read history after `position`, in order. **Errors** as storage.
    fn records(&self, after: u64, limit: usize) -> Answer<'_, Vec<Record>>;

    /// **Does** read history backwards from before a position (`None`: from its end), the newest first: that of one group,
    /// or all of it. **Promises** a cost that follows what is read, and nothing that was edited. **May assume** nothing: a
    /// group without a row may have history. **If called twice** reads twice. **Errors** `Corrupt` if a record does not
    /// follow the one before it.
    fn history<'a>(&'a self, group: Option<&'a GroupId>, before: Option<u64>, limit: usize) -> Answer<'a, Vec<Record>>;

    /// **Does** append history that belongs to no change of a row (a denied order, a start of the server).
    /// **If called twice** appends twice. **If cut off** it may be there. **Errors** as [`StateStore::commit`].
    fn append<'a>(&'a self, group: &'a GroupId, epoch: Epoch, entry: Entry) -> Answer<'a, ()>;

    /// **Does** forget a group whose row is at `expect`: the row with its plan, its sealed values and their key, its roll
    /// and its deliveries, and append `entry`, in one transaction. **Promises** all or nothing, durable on return; that
    /// its history stays, and that what is forgotten is not found at rest; that a group by the same name begins anew.
    /// **May assume** that nothing acts on the group any more. **If called twice** the second is `Fenced`: there is no
    /// row. **If cut off** the outcome is unknown: load. **Errors** as [`StateStore::commit`].
    fn forget<'a>(&'a self, group: &'a GroupId, expect: RowVersion, epoch: Epoch, entry: Entry) -> Answer<'a, ()>;

    /// **Does** append a record that vouches, by a signature, for all of history before it; whether it did.
    /// **Promises** that nothing stands between it and what it vouches for. **If called twice** without other history
    /// in between, the second appends nothing. **If cut off** it may be there. **Errors** as [`StateStore::commit`].
    /// A store that cannot sign does nothing here.
    fn checkpoint(&self, epoch: Epoch, at: Timestamp) -> Answer<'_, bool> {
        let _ = (epoch, at);
        Box::pin(std::future::ready(Ok(false)))
    }

    /// **Does** commit a campaign; of those that have ended, only the latest [`CAMPAIGNS_ENDED_MAX`] are kept. **Promises**
    /// what [`StateStore::carry_out`] promises. **If called twice** the second is `Fenced`. **If cut off** the outcome is
    /// unknown: load. **Errors** as there.
    fn commit_campaign(&self, commit: CampaignCommit) -> Answer<'_, Committed<Campaign>>;

    /// **Does** load a campaign; `None` if there is none. **If called twice** reads twice. **Errors** `Corrupt` if what is
    /// stored does not check out.
    fn campaign(&self, id: CampaignId) -> Answer<'_, Option<Committed<Campaign>>>;

    /// **Does** list campaigns that have not ended, or all; the newest first, from before a number (`None`: from the
    /// newest). **Promises** a cost that follows what is listed. **If called twice** reads twice. **Errors** as
    /// [`StateStore::campaign`].
    fn campaigns(&self, live: bool, before: Option<CampaignId>, limit: usize) -> Answer<'_, Vec<Committed<Campaign>>>;

    /// **Does** read how far a sink got. **Errors** as storage.
    fn cursor<'a>(&'a self, sink: &'a str) -> Answer<'a, u64>;

    /// **Does** record how far a sink got. A lower position than the stored one changes nothing. **Errors** as storage.
    fn move_cursor<'a>(&'a self, sink: &'a str, position: u64) -> Answer<'a, ()>;
}

/// What was handed to a consumer; its acknowledgement must fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Under which number.
    pub publication: Publication,
    /// Which generation.
    pub generation: Generation,
    /// The nonce that came with it.
    pub nonce: Vec<u8>,
}

/// Who is expected, and how far each got.
pub trait Consumers: Send + Sync {
    /// **Does** call the roll of a group in a role. **Promises** `complete` only if it knows everybody. **If called
    /// twice** calls twice. **Errors** as storage.
    fn roll_call<'a>(&'a self, group: &'a GroupId, role: Role) -> Answer<'a, RollCall>;

    /// **Does** record, before the value leaves, that it is delivered; from then on the consumer is expected.
    /// **If called twice** the newest delivery stands; older nonces of the same publication stay good. **Errors** as
    /// storage.
    fn delivered<'a>(
        &'a self,
        group: &'a GroupId,
        consumer: &'a ConsumerId,
        role: Role,
        delivery: &'a Delivery,
    ) -> Answer<'a, ()>;

    /// **Does** say which delivery to a consumer in a role stands, as far as this is known without a look at what is stored.
    /// **Promises** that its consumer is on the roll, durably, and that its nonce is kept; `None` is always allowed. A
    /// value that is read after this was asked, and is of that delivery's publication, may be handed out with its nonce:
    /// nothing more has to be recorded. **If called twice** looks twice.
    fn handed(&self, group: &GroupId, consumer: &ConsumerId, role: Role) -> Option<Delivery> {
        let _ = (group, consumer, role);
        None
    }

    /// **Does** find the delivery that an acknowledgement answers; `None` if there was none. **Errors** as storage.
    fn delivery<'a>(
        &'a self,
        group: &'a GroupId,
        consumer: &'a ConsumerId,
        nonce: &'a [u8],
    ) -> Answer<'a, Option<Delivery>>;

    /// **Does** record how far a publication got, after its proof was verified. **Promises** that a publication lower
    /// than the recorded one, or a lower reach of the same, changes nothing. **If called twice**: once. **Errors** as
    /// storage.
    fn acknowledged<'a>(
        &'a self,
        group: &'a GroupId,
        consumer: &'a ConsumerId,
        role: Role,
        publication: Publication,
        reach: Reach,
    ) -> Answer<'a, ()>;

    /// **Does** take a consumer off the roll: its lease and its declared life are over, or a person said so.
    /// **If called twice**: absent is done. **Errors** as storage.
    fn excuse<'a>(&'a self, group: &'a GroupId, consumer: &'a ConsumerId) -> Answer<'a, ()>;
}

/// Where committed history is delivered.
pub trait Sink: Send + Sync {
    /// Its name: the key of its cursor.
    fn name(&self) -> &str;

    /// **Does** take these records, in order. **Promises** that on return they are as durable as the sink can make
    /// them. **May assume** that they follow those of the last call that returned. **If called twice** with the same
    /// records, each arrives at least once. **If cut off** some may have arrived. **Errors** as for any connection.
    fn deliver<'a>(&'a self, records: &'a [Record]) -> Answer<'a, ()>;
}
