//! What the door speaks: the algorithms and limits it sets for the SSH library.

use std::borrow::Cow;
use std::time::Duration;

use russh::keys::ssh_key::{Algorithm, EcdsaCurve, HashAlg};
use russh::server;
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};

use super::Config;

/// The library's configuration: every value that differs from its default, and why.
pub(super) fn protocol(config: &Config) -> server::Config {
    server::Config {
        // Names no version, of ours or of the library.
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-hallpass")),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        keys: vec![config.host_key.clone()],
        preferred: PREFERRED,
        auth_rejection_time: REFUSAL,
        // Every client asks first with no method at all, only to learn which there are.
        auth_rejection_time_initial: Some(Duration::ZERO),
        max_auth_attempts: ATTEMPTS,
        keepalive_interval: Some(keepalive(config)),
        keepalive_max: UNANSWERED,
        // Should the library forget about a keepalive.
        inactivity_timeout: Some(keepalive(config) * 5),
        nodelay: true,
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: 16,
        ..server::Config::default()
    }
}

/// Algorithms, best first. ssh-audit warns of curve25519 alone, which is not safe from quantum
/// computers; OpenSSH before 9.9 has nothing better that the library has too.
const PREFERRED: Preferred = Preferred {
    kex: Cow::Borrowed(&[
        kex::MLKEM768X25519_SHA256,
        // Under one of its two names: the other is an alias, which audits count as obsolete.
        kex::CURVE25519,
        kex::EXTENSION_SUPPORT_AS_SERVER,
        // Without this word a man in the middle may cut the first packets off (CVE-2023-48795).
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
    ]),
    // Of these the host key is the first. All of them are sent as `server-sig-algs`: what a
    // person's key may sign with.
    key: Cow::Borrowed(&[
        Algorithm::Ed25519,
        Algorithm::SkEd25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::SkEcdsaSha2NistP256,
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ]),
    host_key_certificates: Cow::Borrowed(&[]),
    // Only such as authenticate what they encrypt (GHSA-p8qx-h547-fjw9).
    cipher: Cow::Borrowed(&[cipher::CHACHA20_POLY1305, cipher::AES_256_GCM, cipher::AES_128_GCM]),
    // Never used with those ciphers, but some clients refuse an empty list.
    mac: Cow::Borrowed(&[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM]),
    compression: Cow::Borrowed(&[compression::NONE]),
};

/// What a refused attempt takes, so that its time does not say whose key it was. Short enough that
/// the sixth key of somebody's agent still gets in within a second.
const REFUSAL: Duration = Duration::from_millis(100);

/// Refusals before the library itself disconnects: more than our own budget has, which ends the
/// connection with a better sentence.
const ATTEMPTS: usize = 40;

/// How often a silent client is asked whether it is there. Never before login: a client that asks
/// its user for a passphrase takes the question for a protocol error and gives up.
fn keepalive(config: &Config) -> Duration {
    config.keepalive.max(config.login_deadline + Duration::from_millis(100))
}

/// How many keepalives a client may leave unanswered.
const UNANSWERED: usize = 3;

/// Bytes a client may send on a channel before we read; nothing it sends there is used.
const WINDOW: u32 = 64 * 1024;

/// Bytes a client may send in one piece.
const PACKET: u32 = 16 * 1024;
