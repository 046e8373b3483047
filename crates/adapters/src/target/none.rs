//! No target: whoever accepts the value is a consumer, as with the key of a webhook or of a licence.
//!
//! There is nothing to ask and nothing to change. What is left of the port says so; the plan of such a group asks for
//! consumers alone.

use handover_core::port::{Answer, Intent, Probe, Standing, Target, Verdict};
use handover_core::{Fault, FaultKind, Minter, Occupant, SeesUse, Slots, Tally, TargetCapability};
use handover_secret::Secret;
use serde::Deserialize;

/// There is nothing to configure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// Nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nowhere;

impl Target for Nowhere {
    fn capability(&self) -> TargetCapability {
        TargetCapability {
            slots: Slots::Nowhere,
            sees_use: SeesUse::No,
            fences: true,
            verifies_rights: false,
            minter: Minter::Us,
        }
    }

    fn preflight(&self) -> Answer<'_, Vec<Fault>> {
        done(Vec::new())
    }

    fn create<'a>(&'a self, _: &'a Intent, _: &'a Secret) -> Answer<'a, ()> {
        done(())
    }

    fn probe<'a>(&'a self, _: Occupant, _: &'a Secret, _: Option<(Occupant, &'a Secret)>) -> Answer<'a, Probe> {
        done(Probe::Unknown)
    }

    fn verify<'a>(&'a self, _: Occupant, _: &'a Secret, _: Option<(Occupant, &'a Secret)>) -> Answer<'a, Verdict> {
        nobody("nobody can be asked whether they accept it")
    }

    fn observe<'a>(&'a self, _: &'a [Occupant]) -> Answer<'a, Tally> {
        done(Tally::Unknown)
    }

    fn end_sessions<'a>(&'a self, _: &'a [Occupant]) -> Answer<'a, ()> {
        nobody("there are no sessions")
    }

    fn disable<'a>(&'a self, _: &'a Intent) -> Answer<'a, ()> {
        nobody("nobody can be made to refuse it")
    }

    fn enable<'a>(&'a self, _: &'a Intent) -> Answer<'a, ()> {
        nobody("nobody can be made to accept it")
    }

    fn destroy<'a>(&'a self, _: &'a Intent) -> Answer<'a, ()> {
        done(())
    }

    fn census(&self) -> Answer<'_, Vec<Standing>> {
        nobody("there are no labels")
    }
}

fn done<T: Send + 'static>(answer: T) -> Answer<'static, T> {
    Box::pin(std::future::ready(Ok(answer)))
}

fn nobody<T: Send + 'static>(why: &str) -> Answer<'static, T> {
    let detail = format!("this group has no target: {why}");
    Box::pin(std::future::ready(Err(Fault::untouched(FaultKind::Unsupported, detail))))
}
