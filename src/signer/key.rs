//! Where the CA keys live: an OpenSSH private key file, readable by its owner alone, perhaps
//! encrypted with a passphrase that stands in a credential file.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroizing;

use crate::certificate::wire::put_string;

/// The most bytes a key or passphrase file may have.
const MAX: u64 = 64 * 1024;

/// Reads a secret file: a regular file, not a link, that group and others cannot touch.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    read_guarded(path, std::env::var_os("CREDENTIALS_DIRECTORY").as_deref().map(Path::new))
}

/// `credentials` is the folder that the service manager made for this service alone. Newer systemd lets
/// the service's user in with an ACL, whose mask looks like a right of the group, which is root's.
fn read_guarded(path: &Path, credentials: Option<&Path>) -> Result<Zeroizing<Vec<u8>>, String> {
    let say = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let nofollow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(nofollow.bits()).unwrap_or(0);
    let file =
        OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|why| say(&why))?;
    let meta = file.metadata().map_err(|why| say(&why))?;
    if !meta.is_file() {
        return Err(say(&"not a regular file"));
    }
    let by_acl = meta.gid() == 0 && credentials.is_some_and(|folder| path.parent() == Some(folder));
    if meta.mode() & if by_acl { 0o037 } else { 0o077 } != 0 {
        return Err(say(&format!(
            "a secret that others can read (mode {:04o}); chmod 600 {}",
            meta.mode() & 0o7777,
            path.display()
        )));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    file.take(MAX).read_to_end(&mut bytes).map_err(|why| say(&why))?;
    Ok(bytes)
}

/// Reads an Ed25519 private key from an OpenSSH key file; `passphrase` names the file that opens it.
///
/// The key is held as it signs: deriving it anew for each signature costs as much as the signature.
pub fn load(path: &Path, passphrase: Option<&Path>) -> Result<SigningKey, String> {
    let say = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let pem = read_secret(path)?;
    let mut key = ssh_key::PrivateKey::from_openssh(pem.as_slice()).map_err(|why| say(&why))?;
    if key.is_encrypted() {
        let file = passphrase
            .ok_or_else(|| say(&"the key is encrypted and signer.toml names no passphrase file"))?;
        let secret = read_secret(file)?;
        key = key
            .decrypt(secret.trim_ascii_end())
            .map_err(|_| say(&format!("the passphrase in {} does not open it", file.display())))?;
    }
    match key.key_data().ed25519() {
        Some(pair) => Ok(SigningKey::from_bytes(&pair.private.to_bytes())),
        None => Err(say(&format!("an {} key; keys of a CA are ed25519", key.algorithm()))),
    }
}

/// The public key blob (RFC 8709) of a key.
pub fn blob(key: &SigningKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(51);
    put_string(&mut out, b"ssh-ed25519");
    put_string(&mut out, key.verifying_key().as_bytes());
    out
}

/// Signs to-be-signed bytes with the proof in them: the whole certificate.
pub fn certify(key: &SigningKey, mut stapled: Vec<u8>) -> Vec<u8> {
    let mut signature = Vec::with_capacity(83);
    put_string(&mut signature, b"ssh-ed25519");
    put_string(&mut signature, &key.sign(&stapled).to_bytes());
    put_string(&mut stapled, &signature);
    stapled
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_credential_may_show_its_acl_and_no_other_secret_may() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passphrase");
        std::fs::write(&path, "correct horse").unwrap();
        let roots = std::fs::metadata(&path).unwrap().gid() == 0;
        for (mode, credentials, good) in [
            (0o400, None, true),
            (0o440, None, false),
            (0o440, Some(dir.path()), roots),
            (0o440, Some(Path::new("/")), false),
            (0o444, Some(dir.path()), false),
            (0o460, Some(dir.path()), false),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_guarded(&path, credentials).is_ok(), good, "{mode:o} {credentials:?}");
        }
    }
}
