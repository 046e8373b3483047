//! Recovery, in words.

use handover_core::{Course, Generation, Occupant, Unrecoverable};
use handover_engine::{RecoverRefused, Recovered, history};

/// Why nothing was recovered.
pub(crate) struct Unmet {
    /// One constant word.
    pub(crate) code: &'static str,
    /// In a sentence.
    pub(crate) detail: String,
    /// The next step.
    pub(crate) hint: &'static str,
}

/// What a recovery does, in a sentence.
pub(crate) fn course(recovered: &Recovered) -> String {
    match recovered.course {
        Course::Agrees => "the record is what the world is at: nothing has to change".to_owned(),
        Course::Reasserts => {
            let accepted = generations("the target accepts", &recovered.accepted);
            let published = recovered.row.live().map(|_| "the stores publish anew".to_owned());
            let retiring = generations("what came back goes out of use,", &recovered.retiring);
            let parts: Vec<String> = accepted.into_iter().chain(published).chain(retiring).collect();
            format!("the world is behind the record, and is made what the record says: {}", parts.join(", "))
        }
        Course::Follows => match recovered.row.live().map_or(recovered.row.current, |live| Some(live.to)) {
            Some(Occupant { generation, .. }) => {
                format!("the record is behind the world, and follows it: generation {generation} is in force")
            }
            None => "the record is behind the world, and follows it".to_owned(),
        },
        Course::Resumes => format!(
            "the record is behind the world, which stands amid a rotation: it goes on from there, at {}",
            history::row_word(&recovered.row)
        ),
        Course::Replaces => "nobody has the value that is in force: a rotation leads away from it, and it stays \
                             accepted until it is out of use"
            .to_owned(),
        Course::Nothing => "nothing is in force at the target: the next rotation is as a group's first".to_owned(),
    }
}

fn generations(what: &str, all: &[Occupant]) -> Option<String> {
    let names: Vec<String> = all.iter().map(|who| who.generation.to_string()).collect();
    (!names.is_empty()).then(|| format!("{what} generation {} again", names.join(" and ")))
}

/// Why nothing was recovered, save for what other refusals have words for.
pub(crate) fn unrecoverable(why: &Unrecoverable) -> Unmet {
    let (code, detail, hint) = match why {
        Unrecoverable::NoLabels => (
            "no_labels",
            "the target has no labels that say which generation it accepts".to_owned(),
            "find out by hand what is in force, and adopt it",
        ),
        Unrecoverable::WhichOne(generations) => (
            "which_one",
            format!("the target accepts generations {}, and no store says which is published", list(generations)),
            "name the one that consumers use with --keep; the other goes out of use as in any rotation",
        ),
        Unrecoverable::NotAccepted(generation) => (
            "not_accepted",
            format!("the target does not accept generation {generation}"),
            "--check says what it accepts; let it in again at the target if it is right, then recover again",
        ),
        Unrecoverable::NotLetIn(generation) => (
            "not_let_in",
            format!("the target accepts generation {generation}, and did not let in what we have of its value"),
            "stop the server and give the right value: handover recover GROUP --offline --push --password-file FILE",
        ),
        Unrecoverable::ValueMissing(generation) => (
            "value_missing",
            format!("generation {generation} must be accepted, and neither the state nor a store has its value"),
            "stop the server and give the value: handover recover GROUP --offline --push --password-file FILE",
        ),
        Unrecoverable::NoFreeSlot => (
            "no_free_slot",
            "no slot is free to lead away from a value that nobody has".to_owned(),
            "stop the server and give the value: handover recover GROUP --offline --push --password-file FILE",
        ),
    };
    Unmet { code, detail, hint }
}

fn list(generations: &[Generation]) -> String {
    let names: Vec<String> = generations.iter().map(Generation::to_string).collect();
    names.join(" and ")
}

/// The same for every refusal of a recovery, as a message and a next step.
pub(crate) fn refused(refused: &RecoverRefused) -> (String, String) {
    match refused {
        RecoverRefused::UnknownGroup(group) => {
            (format!("the configuration has no group {group}"), "describe the group first".to_owned())
        }
        RecoverRefused::Obstacles(obstacles) => {
            let words: Vec<String> = obstacles.iter().map(super::obstacle).collect();
            (words.join("; "), "clear what stands in the way, and recover again".to_owned())
        }
        RecoverRefused::Refused(why) => {
            let Unmet { detail, hint, .. } = unrecoverable(why);
            (detail, hint.to_owned())
        }
        RecoverRefused::Fault(fault) => {
            (fault.detail.clone(), "recover again when it is mended: it goes on where it was".to_owned())
        }
    }
}
