//! Waves in words.

use handover_core::{ConsumerId, Opened, Picked, Plan, Wave};

use crate::config::duration::Span;
use crate::server::view::reach;

/// What Propagate does by a plan with waves.
pub(crate) fn plan(plan: &Plan) -> String {
    let waves: Vec<String> = plan.waves.iter().map(wave).collect();
    format!(
        "wave by wave, let presenters read it, and wait until they have acknowledged it as {}: {}; then all others",
        reach(plan.reach_min).word(),
        waves.join("; then ")
    )
}

/// Which waves may read the candidate, in a few words; nothing where the plan has none.
pub(crate) fn opened(opened: &Opened) -> String {
    match opened {
        Opened::All => "all presenters may read it".to_owned(),
        Opened::Nobody => "no presenter may read it yet".to_owned(),
        Opened::Wave { number, cuts, .. } => format!("wave {number} of {} may read it", cuts.len() + 1),
    }
}

fn wave(Wave { members, soak }: &Wave) -> String {
    let members = match members {
        Picked::Percent(percent) => format!("{percent} % of them"),
        Picked::Count(1) => "one of them".to_owned(),
        Picked::Count(count) => format!("{count} of them"),
        Picked::Named(names) => names.iter().map(ConsumerId::as_str).collect::<Vec<_>>().join(" and "),
    };
    if soak.is_zero() { members } else { format!("{members}, watched for {}", Span(*soak)) }
}
