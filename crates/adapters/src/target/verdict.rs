//! What a round of verification came to.

use handover_core::port::Verdict;

/// How many missing rights are told. One forgotten schema can be thousands of them.
const MISSING_MAX: usize = 20;

/// Passed only if nothing is missing; the first of what is, else.
pub(super) fn of_missing(mut missing: Vec<String>) -> Verdict {
    if missing.is_empty() {
        return Verdict::Passed;
    }
    if missing.len() > MISSING_MAX {
        let more = missing.len() - MISSING_MAX;
        missing.truncate(MISSING_MAX);
        missing.push(format!("and {more} more"));
    }
    Verdict::Unfit { missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_missing_or_so_much_is_told() {
        assert_eq!(of_missing(vec![]), Verdict::Passed);
        let Verdict::Unfit { missing } = of_missing(vec!["a right".to_owned(); 25]) else { panic!("it passed") };
        assert_eq!((missing.len(), missing.last().map(String::as_str)), (21, Some("and 5 more")));
    }
}
