//! Fences, and the switch that turns one off: what a fence prevents is shown by what happens without it.
//!
//! Without the feature `fault-points`, which no shipped binary has, there is no switch and every fence is on.

/// What refuses a late write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fence {
    /// The mark of a slot.
    #[cfg(any(feature = "target-postgres", feature = "target-redis"))]
    Slot,
    /// The version that a store is expected to be at.
    #[cfg(feature = "store-embedded")]
    Store,
}

/// Whether it refuses.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub(crate) const fn is_on(_fence: Fence) -> bool {
    true
}

/// Whether it refuses.
#[cfg(feature = "fault-points")]
pub(crate) fn is_on(fence: Fence) -> bool {
    static OFF: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let word = match fence {
        #[cfg(any(feature = "target-postgres", feature = "target-redis"))]
        Fence::Slot => "slot",
        #[cfg(feature = "store-embedded")]
        Fence::Store => "store",
    };
    OFF.get_or_init(|| std::env::var(WITHOUT_FENCE).ok()).as_deref() != Some(word)
}

/// `slot` or `store`: the fence that is off. Only with the feature `fault-points`.
#[cfg(feature = "fault-points")]
const WITHOUT_FENCE: &str = "HANDOVER_WITHOUT_FENCE";
