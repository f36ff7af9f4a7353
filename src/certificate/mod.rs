//! Certificates, pure: names and times, the draft, the lint, the bytes.

pub mod blob;
#[cfg(test)]
mod blob_tests;
pub mod cidr;
#[cfg(feature = "desk")]
pub mod draft;
pub mod key_id;
pub mod krl;
pub mod lint;
#[cfg(test)]
mod lint_tests;
pub mod names;
pub mod safe;
#[cfg(test)]
pub(crate) mod sample;
pub mod subject;
#[cfg(test)]
mod subject_tests;
pub mod time;
pub mod wire;

/// A key's SHA-256 fingerprint as OpenSSH prints it, `SHA256:...`.
pub fn fingerprint(key: &ssh_key::public::KeyData) -> String {
    key.fingerprint(ssh_key::HashAlg::Sha256).to_string()
}
