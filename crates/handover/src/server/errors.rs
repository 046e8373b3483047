//! The pages of the error codes, served where a problem's `type` points to.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse as _, Response};

use super::refusal::Refused;

/// Takes a page into the program, so that a code without one does not compile.
macro_rules! page {
    ($code:literal) => {
        ($code, include_str!(concat!("../../../../docs/errors/", $code, ".md")))
    };
}

pub(crate) async fn page(Path(code): Path<String>) -> Result<Response, Refused> {
    let (_, page) = PAGES.iter().find(|(known, _)| *known == code).ok_or_else(Refused::no_such_path)?;
    let headers: [(HeaderName, &str); 3] = [
        (CONTENT_TYPE, "text/markdown; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, *page).into_response())
}

/// Each code with its page.
const PAGES: &[(&str, &str)] = &[
    page!("HO0101"),
    page!("HO0102"),
    page!("HO0103"),
    page!("HO0104"),
    page!("HO0105"),
    page!("HO0106"),
    page!("HO0107"),
    page!("HO0108"),
    page!("HO0109"),
    page!("HO0110"),
    page!("HO0111"),
    page!("HO0112"),
    page!("HO0113"),
    page!("HO0114"),
    page!("HO0115"),
    page!("HO0116"),
    page!("HO0199"),
    page!("already_back"),
    page!("approval_not_wanted"),
    page!("bad_request"),
    page!("bootstrap_failed"),
    page!("bootstrap_over"),
    page!("campaign_state"),
    page!("configuration"),
    page!("configured"),
    page!("doubted"),
    page!("draining"),
    page!("engine_stalled"),
    page!("held"),
    page!("idempotency_mismatch"),
    page!("in_campaign"),
    page!("lease_lost"),
    page!("live"),
    page!("metrics"),
    page!("no_free_slot"),
    page!("no_labels"),
    page!("no_schedule"),
    page!("no_such_campaign"),
    page!("no_such_group"),
    page!("no_such_path"),
    page!("not_accepted"),
    page!("not_an_approver"),
    page!("not_expected"),
    page!("not_forceable"),
    page!("not_held"),
    page!("not_let_in"),
    page!("not_live"),
    page!("not_permitted"),
    page!("not_published"),
    page!("nothing_to_return_to"),
    page!("nothing_to_supersede"),
    page!("obstacles"),
    page!("other_plan"),
    page!("own_request"),
    page!("past_return"),
    page!("proof"),
    page!("reason_missing"),
    page!("reason_too_long"),
    page!("replayed"),
    page!("restart_needed"),
    page!("signature_refused"),
    page!("stale"),
    page!("state_failing"),
    page!("too_long"),
    page!("too_many_groups"),
    page!("too_many_streams"),
    page!("too_slow"),
    page!("touched"),
    page!("two_identities"),
    page!("unapproved"),
    page!("unauthenticated"),
    page!("unknown_delivery"),
    page!("value_missing"),
    page!("which_one"),
    page!("would_break"),
    page!("wrong_code"),
    page!("wrong_method"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use handover_api::CODES;
    use handover_core::FaultKind;

    use super::*;

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let pages: BTreeSet<&str> = PAGES.iter().map(|(code, _)| *code).collect();
        let faults = FaultKind::ALL.iter().map(|kind| kind.code());
        let codes: BTreeSet<&str> = CODES.iter().map(|code| code.word).chain(faults).collect();
        assert_eq!(pages, codes);
        for (code, page) in PAGES {
            assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        }
    }

    /// Each code that this server can answer with, as it stands in the source, with its status.
    fn used() -> BTreeSet<(String, u16)> {
        let mut used = BTreeSet::new();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut folders = vec![folder.join("server")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let source = std::fs::read_to_string(path).unwrap();
                for call in source.split("new(").skip(1) {
                    let mut parts = call.splitn(3, ',').map(str::trim);
                    let status = parts.next().and_then(|part| part.parse().ok());
                    let word = parts.next().and_then(|part| part.strip_prefix('"')?.strip_suffix('"'));
                    used.extend(word.map(str::to_owned).zip(status));
                }
            }
        }
        used
    }

    #[test]
    fn every_code_that_is_used_is_listed_with_its_status() {
        let used = used();
        assert!(used.len() >= 15, "the source is read: {used:?}");
        use handover_core::Refusal;
        let refusals = [
            Refusal::NotLive,
            Refusal::Live,
            Refusal::NoFreeSlot,
            Refusal::Held,
            Refusal::NotHeld,
            Refusal::Stale,
            Refusal::Touched,
            Refusal::PastReturn,
            Refusal::AlreadyBack,
            Refusal::NothingToReturnTo,
            Refusal::NotForceable,
        ];
        let refusals = refusals.map(|refusal| (crate::words::refusal(refusal).code.to_owned(), 409));
        for (word, status) in used.into_iter().chain(refusals) {
            let listed = CODES.iter().any(|code| code.word == word && code.status == status);
            assert!(
                listed,
                "`{word}` ({status}) is not in handover_api::CODES: list it, and write docs/errors/{word}.md"
            );
        }
    }
}
