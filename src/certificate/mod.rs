//! Certificates, pure: names and times, the draft, the lint, the bytes.

pub mod blob;
pub mod cidr;
#[cfg(feature = "desk")]
pub mod draft;
pub mod key_id;
pub mod lint;
pub mod names;
pub mod safe;
pub mod subject;
pub mod time;
pub mod wire;

/// A key's SHA-256 fingerprint as OpenSSH prints it, `SHA256:...`.
pub fn fingerprint(key: &ssh_key::public::KeyData) -> String {
    key.fingerprint(ssh_key::HashAlg::Sha256).to_string()
}
