//! Who may ask for what, in the history: the entries of the token file as they come, change and go.
//!
//! The file is changed by the command line, which does not write to the state of a running server. So the server compares the
//! file with what its history says of it, at its start and whenever the file changed. Nothing else is remembered: what was not
//! recorded because the process died, or the disk was full, is recorded at the next look, and nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use handover_api::PAGE_MAX;
use handover_core::Fault;
use handover_engine::Handle;
use handover_engine::history::{ENGINE, TOKEN_ADDED, TOKEN_CHANGED, TOKEN_REMOVED, access};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::App;
use super::history;
use crate::tokens::{Entry, Proof, Tokens};

/// Records what happens to the entries, until `drain` turns true.
pub(crate) async fn follow(app: &App, mut drain: watch::Receiver<bool>) {
    // Before the first look: what changes meanwhile is looked at again.
    let mut changes = app.tokens.changes();
    let mut recorded = None;
    loop {
        let failed = record(&app.engine, &app.tokens, &mut recorded).await.err();
        if let Some(fault) = &failed {
            tracing::error!(code = fault.kind.code(), detail = %fault.detail, "changes of tokens are not in the history");
        }
        tokio::select! {
            _ = drain.wait_for(|drain| *drain) => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(AGAIN_AFTER), if failed.is_some() => {}
        }
    }
}

/// How soon what could not be recorded is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The most characters of a list of groups in a record.
const GROUPS_CHARS_MAX: usize = 1_000;

/// The field that names an entry, and the one by which a change of it is noticed.
const TOKEN: &str = "token";
const FINGERPRINT: &str = "fingerprint";

/// Appends what differs between the file and the history, and keeps in `recorded` what the history says then.
async fn record(
    engine: &Handle,
    tokens: &Tokens,
    recorded: &mut Option<BTreeMap<String, String>>,
) -> Result<(), Fault> {
    // A file that cannot be read is not one from which everything was taken.
    let Some(entries) = tokens.entries() else { return Ok(()) };
    let known = match recorded {
        Some(known) => known,
        None => recorded.insert(known(engine).await?),
    };
    for entry in &entries {
        let print = fingerprint(entry);
        let event = match known.get(&entry.id) {
            Some(same) if *same == print => continue,
            Some(_) => TOKEN_CHANGED,
            None => TOKEN_ADDED,
        };
        engine.access_changed(event, ENGINE, fields(entry, &print)).await?;
        known.insert(entry.id.clone(), print);
    }
    let there: BTreeSet<&String> = entries.iter().map(|entry| &entry.id).collect();
    let gone: Vec<String> = known.keys().filter(|id| !there.contains(id)).cloned().collect();
    for id in gone {
        engine.access_changed(TOKEN_REMOVED, ENGINE, vec![(TOKEN, id.clone())]).await?;
        known.remove(&id);
    }
    Ok(())
}

/// The entries that are there after the history, each with its fingerprint.
async fn known(engine: &Handle) -> Result<BTreeMap<String, String>, Fault> {
    let (mut known, mut seen, mut before) = (BTreeMap::new(), BTreeSet::new(), None);
    loop {
        let records = engine.history(Some(&access()), before, PAGE_MAX).await?;
        let Some(last) = records.last() else { return Ok(known) };
        before = Some(last.position);
        for record in records.iter().map(history::view) {
            let (Some(id), print) = (record.fields.get(TOKEN), record.fields.get(FINGERPRINT)) else { continue };
            // The newest record of an entry comes first, and decides.
            if seen.insert(id.clone())
                && let Some(print) = print
            {
                known.insert(id.clone(), print.clone());
            }
        }
    }
}

/// All that an entry grants, for people.
fn fields(entry: &Entry, print: &str) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        (TOKEN, entry.id.clone()),
        ("identity", entry.identity.to_string()),
        ("role", entry.grant.to_string()),
        ("groups", shortened(&joined(&entry.groups))),
        (FINGERPRINT, print.to_owned()),
    ];
    if let Some(verbs) = &entry.verbs {
        fields.push(("verbs", joined(verbs)));
    }
    if let Some(end) = entry.expires_at {
        fields.push(("expires_at", end.to_string()));
    }
    if let Proof::Certificate(name) = &entry.proof {
        fields.push(("certificate", name.to_string()));
    }
    fields
}

/// Changes with anything that the entry says, also with the token that it stands for, and tells nothing of it.
fn fingerprint(entry: &Entry) -> String {
    let proof = match &entry.proof {
        Proof::Token(digest) => hex::encode(digest),
        Proof::Certificate(name) => name.to_string(),
    };
    let mut digest = Sha256::new();
    for part in [
        entry.identity.to_string(),
        entry.grant.to_string(),
        entry.verbs.as_ref().map(joined).unwrap_or_default(),
        joined(&entry.groups),
        proof,
        entry.created_at.to_string(),
        entry.expires_at.map(|end| end.to_string()).unwrap_or_default(),
    ] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut print = hex::encode(digest.finalize());
    print.truncate(FINGERPRINT_CHARS);
    print
}

const FINGERPRINT_CHARS: usize = 32;

fn joined<T: ToString>(names: &BTreeSet<T>) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn shortened(text: &str) -> String {
    if text.len() <= GROUPS_CHARS_MAX {
        return text.to_owned();
    }
    format!("{} …", text.chars().take(GROUPS_CHARS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use handover_core::ConsumerId;
    use jiff::Timestamp;

    use super::*;
    use crate::tokens::{Grant, San, Verb};

    /// An entry that is edited in the file is noticed, whichever part of it.
    #[test]
    fn a_fingerprint_changes_with_every_part_of_an_entry() {
        let entry = Entry {
            id: "0011".to_owned(),
            identity: ConsumerId::parse("anna").unwrap(),
            grant: Grant::Viewer,
            verbs: None,
            groups: BTreeSet::from(["orders".to_owned()]),
            proof: Proof::Token([1; 32]),
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
        };
        let edited = [
            Entry { identity: ConsumerId::parse("eve").unwrap(), ..entry.clone() },
            Entry { grant: Grant::Operator, ..entry.clone() },
            Entry { verbs: Some(BTreeSet::from([Verb::Look])), ..entry.clone() },
            Entry { groups: BTreeSet::from(["*".to_owned()]), ..entry.clone() },
            Entry { proof: Proof::Token([2; 32]), ..entry.clone() },
            Entry { proof: Proof::Certificate(San::parse("dns:anna").unwrap()), ..entry.clone() },
            Entry { created_at: Timestamp::MAX, ..entry.clone() },
            Entry { expires_at: Some(Timestamp::MAX), ..entry.clone() },
        ];
        let prints: BTreeSet<String> = edited.iter().chain([&entry]).map(fingerprint).collect();
        assert_eq!(prints.len(), edited.len() + 1);
        let told = format!("{:?}", fields(&entry, &fingerprint(&entry)));
        assert!(!told.contains(&hex::encode([1; 32])), "{told}");
    }
}
