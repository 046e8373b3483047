//! Reading the file, and what is said when it is of no use.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use super::findings::Wrong;
use crate::failure::Failure;

/// The longest file: a thousand bytes and more for each of the most groups.
const BYTES_MAX: u64 = 128 * 1024 * 1024;

/// A configuration that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unusable {
    /// What it is that cannot be used.
    pub(crate) what: String,
    /// All that is wrong in it, by line; at least one.
    pub(crate) wrong: Vec<Wrong>,
    /// The next step.
    pub(crate) hint: String,
}

impl Unusable {
    /// The file can be read, and says what cannot be meant.
    pub(super) fn wrong(file: &Path, wrong: Vec<Wrong>) -> Self {
        Self {
            what: format!("the configuration {} is not usable", file.display()),
            wrong,
            hint: "`handover init` in an empty directory writes one with every option explained".to_owned(),
        }
    }

    fn unread(file: &Path, why: &str, hint: &str) -> Self {
        Self {
            what: format!("the configuration {} cannot be read", file.display()),
            wrong: vec![Wrong { line: None, words: why.to_owned() }],
            hint: hint.to_owned(),
        }
    }
}

impl From<Unusable> for Failure {
    fn from(unusable: Unusable) -> Self {
        let told = match unusable.wrong.as_slice() {
            [only] => format!(" {only}"),
            several => several.iter().map(|wrong| format!("\n  - {wrong}")).collect(),
        };
        Self::error(format!("{}:{told}", unusable.what)).hint(unusable.hint)
    }
}

/// The file's text.
pub(super) fn text(file: &Path) -> Result<String, Unusable> {
    const MAKE: &str = "make one with `handover init`, or name it with --config";
    let unread = |why: &str, hint: &str| Err(Unusable::unread(file, why, hint));
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        let is = |kind| error.kind() == kind;
        if is(ErrorKind::NotFound) {
            return unread("it is not there", MAKE);
        }
        if is(ErrorKind::IsADirectory) {
            let hint = format!("name the file in it: --config {}/{}", file.display(), super::FILE);
            return unread("it is a directory", &hint);
        }
        if is(ErrorKind::PermissionDenied) {
            return unread("this user may not read it", "run as the user that owns it, or give this user the right");
        }
        return unread(&error.kind().to_string(), MAKE);
    }
    if bytes.len() as u64 > BYTES_MAX {
        return unread("it is longer than 128 MiB", "no configuration is: look whether --config names another file");
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        Unusable {
            wrong: vec![Wrong { line: Some(line), words: "there is a byte that is not UTF-8".to_owned() }],
            ..Unusable::unread(file, "", "save it as UTF-8, or look whether --config names another file")
        }
    })
}
