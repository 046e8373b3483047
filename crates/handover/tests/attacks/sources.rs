//! What the sources must not contain.

use std::path::{Path, PathBuf};

/// Comparisons by `==` that are of nothing secret, by file and by what stands in the line.
const PUBLIC: &[(&str, &str)] = &[
    // The chain's hashes are in every record that is shipped: whoever could use a timing has them.
    ("adapters/src/state/chain.rs", "record.hash == hex::encode(hash)"),
    ("adapters/src/state/sqlite/segment.rs", "chain::hash(self.run) == self.hash"),
    ("adapters/src/state/sqlite/verify.rs", "hash != head.hash"),
    ("adapters/src/sink/file.rs", "line.hash != again.hash"),
    // A digest of what was asked, with no key: the caller knows it.
    ("engine/src/asker.rs", "kept.digest != *digest"),
    // Digests of plans and policies, with no key: whoever asks for them is told them.
    ("engine/src/approve.rs", "plan.policy_digest != *binding.policy_digest"),
    // Two entries of our own file, held against each other by whoever makes a token.
    ("handover/src/tokens.rs", "entry.proof == proof"),
    // A backup's digest, which stands in clear beside the file.
    ("handover/src/backup.rs", "found.sha256 != item.sha256"),
];

/// What values are called whose comparison must not tell by its time how far it got.
const SECRET_WORDS: &[&str] =
    &["mac", "hmac", "digest", "proof", "hash", "sha256", "signature", "password", "nonce", "sum", "token", "bearer"];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All Rust files below a folder.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The last word of what stands before, and the last word of the path that stands after, a comparison.
fn sides(line: &str, at: usize) -> [String; 2] {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let before = line[..at].trim_end().trim_end_matches(|c: char| !is_word(c));
    let left = before.rsplit(|c| !is_word(c)).next().unwrap_or_default();
    let after = line[at + 2..].trim_start().trim_start_matches(['*', '&']);
    let path = after.split(|c: char| !is_word(c) && c != '.').next().unwrap_or_default();
    [left.to_owned(), path.rsplit('.').next().unwrap_or_default().to_owned()]
}

fn is_suspect(line: &str) -> bool {
    let compares = ["==", "!="].iter().flat_map(|sign| line.match_indices(sign).map(|(at, _)| at));
    let secret = |word: &String| SECRET_WORDS.iter().any(|part| word == part || word.ends_with(&format!("_{part}")));
    compares.into_iter().any(|at| sides(line, at).iter().any(secret))
}

/// S27: checksums, digests, proofs and tokens are compared in constant time; `==` is for what is public, and each place
/// says so here.
#[test]
fn secrets_are_compared_in_constant_time() {
    let crates = root().join("crates");
    let mut used = vec![false; PUBLIC.len()];
    for name in ["secret", "core", "engine", "adapters", "api", "scram", "sdk", "manager", "handover"] {
        for file in rust_files(&crates.join(name).join("src")) {
            let shown = file.strip_prefix(&crates).unwrap().display().to_string();
            if shown.ends_with("tests.rs") || shown.contains("/tests/") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for (number, line) in code.lines().enumerate().filter(|(_, line)| is_suspect(line)) {
                let known = PUBLIC.iter().position(|(path, part)| *path == shown && line.contains(part));
                match known {
                    Some(index) => used[index] = true,
                    None => panic!("{shown}:{}: compare in constant time: {}", number + 1, line.trim()),
                }
            }
        }
    }
    let stale: Vec<_> = PUBLIC.iter().zip(&used).filter(|(_, used)| !**used).map(|(place, _)| place).collect();
    assert!(stale.is_empty(), "these places are no more: {stale:?}");
}

/// The rule above finds what it is there for.
#[test]
fn a_comparison_of_a_checksum_would_be_found() {
    for bad in [
        "if mac != columns.mac(x) {",
        "a.digest == b",
        "if stored == self.mac {",
        "x == *row_sum && y",
        "(token) == other",
    ] {
        assert!(is_suspect(bad), "{bad}");
    }
    for good in ["if version == 1 {", "hash(x) { 1 == 2 }", "machine == other", "summary != x"] {
        assert!(!is_suspect(good), "{good}");
    }
}

/// S12: randomness comes from the operating system, and from nowhere else.
#[test]
fn no_source_draws_from_another_generator() {
    let crates = root().join("crates");
    for name in ["secret", "core", "engine", "adapters", "api", "sdk", "handover"] {
        for file in rust_files(&crates.join(name).join("src")) {
            let text = std::fs::read_to_string(&file).unwrap();
            for other in ["thread_rng", "rand::rng()", "SmallRng", "StdRng", "from_seed(", "seed_from_u64"] {
                assert!(!text.contains(other), "{}: {other}", file.display());
            }
        }
    }
}
