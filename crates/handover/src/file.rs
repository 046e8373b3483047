//! Files that hold secrets.

use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use handover_secret::Secret;

use crate::failure::Failure;

/// The longest secret that is read from a file.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Reads a secret: the file without one line feed at its end. Refuses a file that everybody may read.
pub(crate) fn secret(file: &Path, what: &str) -> Result<Secret, Failure> {
    let unusable = |why: &str| Failure::error(format!("{what} {} is not usable: {why}", file.display()));
    let metadata = std::fs::metadata(file).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return unusable("it is not there").hint("write it with mode 0600, or name another file");
        }
        unusable(&error.kind().to_string())
    })?;
    if metadata.mode() & 0o007 != 0 {
        return Err(unusable("everybody may read or write it").hint(format!("chmod 600 {}", file.display())));
    }
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(unusable("it is too long"));
    }
    let mut bytes = std::fs::read(file).map_err(|error| unusable(&error.kind().to_string()))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    let secret = Secret::from_bytes(bytes);
    if secret.is_empty() { Err(unusable("it is empty")) } else { Ok(secret) }
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    inode: u64,
    length: u64,
    modified_ns: (i64, i64),
    changed_ns: (i64, i64),
}

/// How a file is now. `None` if it cannot be looked at.
pub(crate) fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    Some(Stamp {
        inode: metadata.ino(),
        length: metadata.len(),
        modified_ns: (metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// Reads a file that holds no secret.
pub(crate) fn public(file: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| {
        let there = error.kind() != std::io::ErrorKind::NotFound;
        let why = if there { error.kind().to_string() } else { "it is not there".to_owned() };
        Failure::error(format!("{what} {} cannot be read: {why}", file.display()))
            .hint("correct its path in the configuration; paths start at that file's directory")
    })
}

/// Writes a file that is not there yet, with this mode, durably. False if it was there.
pub(crate) fn create(file: &Path, text: &str, mode: u32) -> Result<bool, Failure> {
    let mut options = std::fs::OpenOptions::new();
    let mut out = match options.write(true).create_new(true).mode(mode).open(file) {
        Ok(out) => out,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(Failure::error(format!("{} cannot be made: {}", file.display(), error.kind()))),
    };
    std::io::Write::write_all(&mut out, text.as_bytes())
        .and_then(|()| out.sync_all())
        .map_err(|error| Failure::error(format!("{} cannot be written: {}", file.display(), error.kind())))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_read_without_its_line_end() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        for (text, wanted) in [("pw\n", "pw"), ("pw", "pw"), ("pw\r\n", "pw"), ("pw\n\n", "pw\n")] {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(secret(&file, "the password").unwrap().matches(&Secret::from_text(wanted.to_owned())), "{text:?}");
        }
        std::fs::write(&file, "\n").unwrap();
        assert!(secret(&file, "the password").is_err(), "an empty one is refused");
    }

    #[test]
    fn a_secret_that_everybody_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "canary-4711").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let message = secret(&file, "the password").unwrap_err().message();
        assert!(message.contains("chmod 600") && !message.contains("canary"), "{message}");
    }

    #[test]
    fn nothing_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x");
        assert!(create(&file, "one", 0o600).unwrap());
        assert!(!create(&file, "two", 0o600).unwrap());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "one");
    }
}
