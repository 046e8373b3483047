use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use handover_core::{Fault, FaultKind};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::key::fill;

const KEY_BYTES: usize = 32;
/// 64 hexadecimal digits and a line end.
const FILE_BYTES_MAX: usize = KEY_BYTES * 2 + 2;

/// The key that wraps all others: 32 random bytes in a file that only its owner may read.
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

impl MasterKey {
    /// Makes a new key and writes it to `path`, which must not exist, with mode 0600. On return the file and its
    /// folder are on disk. If the process dies on the way, `path` is either absent or whole.
    ///
    /// `Conflict` if there is a file already: a master key is never overwritten.
    pub fn create(path: &Path) -> Result<Self, Fault> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        fill(key.as_mut_slice())?;
        let mut text = Zeroizing::new([0; KEY_BYTES * 2 + 1]);
        text[KEY_BYTES * 2] = b'\n';
        #[expect(clippy::expect_used, reason = "the buffer is twice as long as the key")]
        hex::encode_to_slice(key.as_slice(), &mut text[..KEY_BYTES * 2]).expect("the buffer fits");

        let mut suffix = [0; 8];
        fill(&mut suffix)?;
        let staged = beside(path, &format!("new-{}", hex::encode(suffix)));
        let made = stage(&staged, text.as_slice())
            // A link is refused if `path` exists, and shows the whole file or nothing.
            .and_then(|()| fs::hard_link(&staged, path));
        // Whatever happened, the staged name has to go; if that fails, the key is still only readable by its owner.
        let _ = fs::remove_file(&staged);
        made.and_then(|()| sync_folder(path)).map_err(|error| create_fault(&error, path))?;
        Ok(Self(key))
    }

    /// Reads a key from `path`: 32 raw bytes, or 64 hexadecimal digits with or without a line end.
    ///
    /// `Missing` if there is no file, `Misconfigured` if others than its owner may read it or its length is wrong.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let shown = path.display();
        let file = File::open(path).map_err(|error| read_fault(&error, path))?;
        let found = file.metadata().map_err(|error| read_fault(&error, path))?;
        if !found.is_file() {
            return Err(misconfigured(format!("the master key {shown} is not a file")));
        }
        if found.mode() & 0o077 != 0 {
            return Err(misconfigured(format!(
                "the master key {shown} can be used by others than its owner (mode {:04o}); run: chmod 600 {shown}; if \
                 others may have read it, make a new master key",
                found.mode() & 0o7777
            )));
        }
        // One byte more than allowed, so that a file that is too long shows.
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
        file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| read_fault(&error, path))?;
        parse(&bytes).map(Self).ok_or_else(|| {
            misconfigured(format!(
                "the master key {shown} is neither 32 raw bytes nor 64 hexadecimal digits; restore it from its backup, \
                 or make a new one with: handover init"
            ))
        })
    }

    /// Takes 32 random bytes that came from elsewhere, such as an inherited descriptor.
    pub fn from_bytes(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(bytes)
    }

    pub(super) fn root(&self) -> Hkdf<Sha256> {
        Hkdf::new(Some(b"handover master"), self.0.as_slice())
    }
}

fn stage(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the names in the folder of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

/// `path` with `.suffix` added to its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn parse(bytes: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if bytes.len() == KEY_BYTES {
        key.copy_from_slice(bytes);
        return Some(key);
    }
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    hex::decode_to_slice(text, key.as_mut_slice()).ok()?;
    Some(key)
}

fn misconfigured(detail: String) -> Fault {
    Fault::untouched(FaultKind::Misconfigured, detail)
}

fn read_fault(error: &io::Error, path: &Path) -> Fault {
    let shown = path.display();
    if error.kind() == io::ErrorKind::NotFound {
        let words = format!("there is no master key at {shown}; restore it from its backup, or run: handover init");
        Fault::untouched(FaultKind::Missing, words)
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        let words = format!("the master key {shown} may not be read by this user; change its owner");
        Fault::untouched(FaultKind::NotPermitted, words)
    } else {
        Fault::untouched(FaultKind::Storage, format!("the master key {shown} could not be read from disk"))
    }
}

fn create_fault(error: &io::Error, path: &Path) -> Fault {
    let shown = path.display();
    if error.kind() == io::ErrorKind::AlreadyExists {
        let words = format!("{shown} exists already; a master key is never overwritten: move it away first");
        Fault::untouched(FaultKind::Conflict, words)
    } else if error.kind() == io::ErrorKind::NotFound {
        Fault::untouched(FaultKind::Missing, format!("the folder of {shown} does not exist; create it"))
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        let words = format!("this user may not write the master key {shown}; change the folder's owner");
        Fault::untouched(FaultKind::NotPermitted, words)
    } else {
        let words =
            format!("the master key {shown} could not be made durable; look whether it is there before going on");
        Fault::unknown(FaultKind::Storage, words)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn created_keys_are_private_whole_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let made = MasterKey::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(MasterKey::read(&path).unwrap().0, made.0);
        let before = fs::read(&path).unwrap();
        assert_eq!(MasterKey::create(&path).err().unwrap().kind, FaultKind::Conflict);
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn raw_and_hexadecimal_are_read_and_all_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let hex = "ab".repeat(32);
        for good in [vec![0xab; 32], hex.clone().into_bytes(), format!("{hex}\n").into_bytes()] {
            fs::write(&path, good).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(*MasterKey::read(&path).unwrap().0, [0xab; 32]);
        }
        for bad in [&[][..], &[1; 31], &[1; 33], &[b'g'; 64], &[b'a'; 66], &[b'a'; 4096]] {
            fs::write(&path, bad).unwrap();
            let fault = MasterKey::read(&path).err().unwrap();
            assert_eq!(fault.kind, FaultKind::Misconfigured, "{} bytes", bad.len());
        }
    }

    #[test]
    fn a_key_that_others_may_use_is_refused_with_the_command_that_helps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        MasterKey::create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o660, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let fault = MasterKey::read(&path).err().unwrap();
            assert_eq!(fault.kind, FaultKind::Misconfigured, "{mode:o}");
            assert!(fault.detail.contains("chmod 600"), "{fault}");
        }
        assert_eq!(MasterKey::read(&folder.path().join("absent")).err().unwrap().kind, FaultKind::Missing);
        assert_eq!(MasterKey::read(folder.path()).err().unwrap().kind, FaultKind::Misconfigured);
    }
}
