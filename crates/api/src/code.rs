//! The codes of refusals, each with a page in `docs/errors`.

/// A code, and the status that it comes with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// One constant word.
    pub word: &'static str,
    /// The HTTP status.
    pub status: u16,
}

/// What the API refuses for another reason than a fault at a port, by code. Faults have codes of their own (`HO0101`, …).
pub const CODES: &[Code] = &[
    Code { word: "already_back", status: 409 },
    Code { word: "bad_request", status: 400 },
    Code { word: "bootstrap_failed", status: 500 },
    Code { word: "bootstrap_over", status: 409 },
    Code { word: "configuration", status: 500 },
    Code { word: "configured", status: 409 },
    Code { word: "doubted", status: 409 },
    Code { word: "draining", status: 503 },
    Code { word: "engine_stalled", status: 503 },
    Code { word: "held", status: 409 },
    Code { word: "idempotency_mismatch", status: 422 },
    Code { word: "lease_lost", status: 503 },
    Code { word: "live", status: 409 },
    Code { word: "metrics", status: 500 },
    Code { word: "no_free_slot", status: 409 },
    Code { word: "no_labels", status: 409 },
    Code { word: "no_schedule", status: 409 },
    Code { word: "no_such_group", status: 404 },
    Code { word: "no_such_path", status: 404 },
    Code { word: "not_accepted", status: 409 },
    Code { word: "not_expected", status: 409 },
    Code { word: "not_forceable", status: 409 },
    Code { word: "not_held", status: 409 },
    Code { word: "not_let_in", status: 409 },
    Code { word: "not_live", status: 409 },
    Code { word: "not_permitted", status: 403 },
    Code { word: "not_published", status: 409 },
    Code { word: "nothing_to_return_to", status: 409 },
    Code { word: "nothing_to_supersede", status: 409 },
    Code { word: "obstacles", status: 409 },
    Code { word: "past_return", status: 409 },
    Code { word: "proof", status: 422 },
    Code { word: "reason_missing", status: 400 },
    Code { word: "reason_too_long", status: 400 },
    Code { word: "restart_needed", status: 409 },
    Code { word: "stale", status: 409 },
    Code { word: "state_failing", status: 503 },
    Code { word: "too_long", status: 413 },
    Code { word: "too_many_streams", status: 429 },
    Code { word: "too_slow", status: 503 },
    Code { word: "touched", status: 409 },
    Code { word: "two_identities", status: 401 },
    Code { word: "unauthenticated", status: 401 },
    Code { word: "unknown_delivery", status: 409 },
    Code { word: "value_missing", status: 409 },
    Code { word: "which_one", status: 409 },
    Code { word: "wrong_code", status: 401 },
    Code { word: "wrong_method", status: 405 },
];
