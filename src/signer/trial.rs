//! A signer in a temporary folder, for the tests: key files from fixed seeds, `signer.toml`, mark, list.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ssh_key::private::{Ed25519Keypair, PrivateKey};

use super::limits::SignerConfig;
use super::mark::{ListFile, MarkFile, beginning};
use super::witness::Witness;
use crate::certificate::time::UnixTime;
use crate::ledger::note::{NoteKey, SignatureType, VerifierKey};

/// The ledger's origin and its key's name.
pub(crate) const ORIGIN: &str = "ca.test/1";

/// The cosigning key's name.
pub(crate) const COSIGNER: &str = "ca.test/signer";

/// The private key files and their seeds, as `certificate::sample::keys` has them.
const SEEDS: [(&str, u8); 3] = [("user_ca", 1), ("bare_ca", 2), ("cosigning", 4)];

/// The ledger's key.
pub(crate) fn ledger_key() -> NoteKey {
    let secret = SigningKey::from_bytes(&[3; 32]);
    NoteKey::new(ORIGIN, SignatureType::Ed25519, secret).unwrap()
}

/// The signer's verifier key.
pub(crate) fn signer_vkey() -> VerifierKey {
    let public = SigningKey::from_bytes(&[4; 32]).verifying_key();
    VerifierKey::new(COSIGNER, SignatureType::Cosignature, public).unwrap()
}

/// The private key of a seed, as OpenSSH keeps it.
pub(crate) fn private_key(seed: u8, comment: &str) -> PrivateKey {
    let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]));
    key.set_comment(comment);
    key
}

/// Writes a file with a mode.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(mode).open(path).unwrap();
    file.write_all(bytes).unwrap();
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

/// The folder.
pub(crate) struct Trial {
    dir: tempfile::TempDir,
}

impl Trial {
    /// A signer with these further lines in `signer.toml`.
    pub(crate) fn with(more: &str) -> Self {
        let trial = Self { dir: tempfile::tempdir().unwrap() };
        for (name, seed) in SEEDS {
            let pem = private_key(seed, name).to_openssh(ssh_key::LineEnding::LF).unwrap();
            write(&trial.path(name), pem.as_bytes(), 0o600);
        }
        let host = private_key(5, "host key").public_key().to_openssh().unwrap();
        write(&trial.path("host.pub"), host.as_bytes(), 0o644);
        let vkey = format!("{}\n", ledger_key().public());
        write(&trial.path("ledger.vkey"), vkey.as_bytes(), 0o644);
        let toml = format!(
            "ledger = \"ledger.vkey\"\nuser_ca = \"user_ca\"\nbare_ca = \"bare_ca\"\n\
             cosigning = \"cosigning\"\ncosigner = \"{COSIGNER}\"\nnever_subjects = [\"host.pub\"]\n\
             state = \".\"\n{more}"
        );
        write(&trial.path("signer.toml"), toml.as_bytes(), 0o644);
        ListFile::create(&trial.path("list")).unwrap();
        MarkFile::create(&trial.path("mark"), ORIGIN, beginning()).unwrap();
        trial
    }

    /// A file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the signer.
    pub(crate) fn open(&self, now: UnixTime) -> Result<Witness, String> {
        Witness::open(SignerConfig::load(&self.path("signer.toml"))?, now)
    }
}
