//! Recovery by request.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use handover_api as api;
use handover_core::{Course, Generation, Occupant, Phase, Rotation, Row};
use handover_engine::{RecoverRefused, RecoverRequest, Recovered, history};

use super::App;
use super::auth::Covered;
use super::body::Body;
use super::refusal::Refused;
use super::view;
use crate::words;

pub(crate) async fn recover(
    State(app): State<Arc<App>>,
    Covered { caller, group }: Covered,
    Body(api::RecoverRequest { check, keep, reason }): Body<api::RecoverRequest>,
) -> Result<Json<api::Recovered>, Refused> {
    if reason.as_ref().is_some_and(|reason| {
        reason.contains(crate::terminal::commands) || reason.chars().count() > api::REASON_CHARS_MAX
    }) {
        return Err(Refused::bad_request("a reason is one line of text, of at most 1,000 characters"));
    }
    let request = RecoverRequest { keep: keep.map(Generation), value: None, check, reason };
    let recovered = app.engine.recover(&group, request, caller.identity.as_str()).await?;
    Ok(Json(recovery(group.as_str(), check, &recovered)))
}

/// A recovery on the wire.
pub(crate) fn recovery(group: &str, check: bool, recovered: &Recovered) -> api::Recovered {
    api::Recovered {
        group: group.to_owned(),
        done: !check && (recovered.doubt.is_some() || recovered.course != Course::Agrees),
        doubt: recovered.doubt.as_ref().map(|doubt| words::doubt_kind(doubt).to_owned()),
        course: history::course_word(recovered.course).to_owned(),
        text: words::recover::course(recovered),
        accepted: recovered.accepted.iter().copied().map(view::occupant).collect(),
        retiring: recovered.retiring.iter().copied().map(view::occupant).collect(),
        current: in_force(&recovered.row).map(view::occupant),
        phase: recovered.row.live().map(|_| history::row_word(&recovered.row).to_owned()),
    }
}

/// What is in force: a rotation that recovery made to publish it anew comes from nothing, and leads to it.
fn in_force(row: &Row) -> Option<Occupant> {
    let published = |live: &&Rotation| !matches!(live.phase, Phase::Stage | Phase::Apply { .. } | Phase::Verify { .. });
    row.current.or_else(|| row.live().filter(published).map(|live| live.to))
}

impl From<RecoverRefused> for Refused {
    fn from(refused: RecoverRefused) -> Self {
        match refused {
            RecoverRefused::UnknownGroup(group) => Self::not_bound(&group),
            RecoverRefused::Fault(fault) => fault.into(),
            RecoverRefused::Obstacles(_) => {
                let (detail, hint) = words::recover::refused(&refused);
                Self::new(409, "obstacles", "Something stands in the way", detail, &hint)
            }
            RecoverRefused::Refused(why) => {
                let words::recover::Unmet { code, detail, hint } = words::recover::unrecoverable(&why);
                Self::new(409, code, "A person must find something out first", detail, hint)
            }
        }
    }
}
