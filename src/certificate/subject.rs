//! Which public keys may be certified and may log in: the types hallpass takes, and their strength.

use ed25519_dalek::VerifyingKey;
use ssh_key::Mpint;
use ssh_key::public::{EcdsaPublicKey, KeyData, RsaPublicKey};

/// Why a key is not taken, in words for its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// A type outside ed25519, ecdsa p256/p384, the two sk types and RSA.
    Kind,
    /// An RSA modulus that is too short or too long.
    Size {
        /// Its true length in bits.
        bits: usize,
    },
    /// An RSA exponent that no real key has.
    Exponent,
    /// The point is not on its curve, or generates only a small group.
    Point,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kind => write!(
                f,
                "keys of this type are not taken: use ed25519, ecdsa (256 or 384), ed25519-sk, ecdsa-sk, or rsa of 3072 bits or more"
            ),
            Self::Size { bits } => {
                write!(f, "an rsa key of {bits} bits is not taken: use 3072 to 8192 bits")
            }
            Self::Exponent => write!(
                f,
                "an rsa key with this exponent is not taken: it is even, below 3 or above 32 bits"
            ),
            Self::Point => write!(f, "the key is damaged: its point is not a point of its curve"),
        }
    }
}

impl std::error::Error for Unfit {}

/// Whether this key may log in and be certified.
///
/// Nothing is computed with an RSA key before its size is known: pathological parameters once kept
/// a server busy (CVE-2026-39829). P-521 is left out because of biased nonces in a client that many
/// people used (CVE-2024-31497). A certificate is not a subject. A point has one spelling, the
/// uncompressed one (RFC 5656 section 3.1, and the only one OpenSSH reads), or one key had two
/// fingerprints.
///
/// # Errors
/// Which rule the key breaks.
pub fn fit(key: &KeyData) -> Result<(), Unfit> {
    let whole = |point: &[u8]| if point.first() == Some(&4) { Ok(()) } else { Err(Unfit::Point) };
    let on_p256 = |point: &[u8]| {
        whole(point)?;
        p256::PublicKey::from_sec1_bytes(point).map(drop).map_err(|_| Unfit::Point)
    };
    match key {
        KeyData::Ed25519(key) => point_25519(&key.0),
        KeyData::SkEd25519(key) => point_25519(&key.public_key().0),
        KeyData::Ecdsa(EcdsaPublicKey::NistP256(point)) => on_p256(point.as_bytes()),
        KeyData::SkEcdsaSha2NistP256(key) => on_p256(key.ec_point().as_bytes()),
        KeyData::Ecdsa(EcdsaPublicKey::NistP384(point)) => {
            whole(point.as_bytes())?;
            p384::PublicKey::from_sec1_bytes(point.as_bytes()).map(drop).map_err(|_| Unfit::Point)
        }
        KeyData::Rsa(key) => rsa(key),
        KeyData::Ecdsa(EcdsaPublicKey::NistP521(_)) => Err(Unfit::Kind),
        KeyData::Dsa(_) | KeyData::Certificate(_) | KeyData::Other(_) => Err(Unfit::Kind),
        // The library may learn further kinds: they are refused until they stand above.
        _ => Err(Unfit::Kind),
    }
}

/// RSA's numbers by their bytes; the library's own `key_size` rounds up to whole bytes.
fn rsa(key: &RsaPublicKey) -> Result<(), Unfit> {
    let bits = bit_length(key.n());
    let odd = key.n().as_positive_bytes().and_then(<[u8]>::last).is_some_and(|byte| byte & 1 == 1);
    if !(3072..=8192).contains(&bits) || !odd {
        return Err(Unfit::Size { bits });
    }
    let exponent = key.e().as_positive_bytes().unwrap_or_default();
    let value = exponent.iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    if exponent.len() <= 4 && value >= 3 && value & 1 == 1 { Ok(()) } else { Err(Unfit::Exponent) }
}

/// A point of the curve that does not lie in the small subgroup, in its one spelling: y is below the
/// field's prime, 2^255 - 19 (RFC 8032 section 5.1.3; the library reads more).
fn point_25519(bytes: &[u8; 32]) -> Result<(), Unfit> {
    let [low, middle @ .., high] = bytes;
    let reduced = *low < 0xed || high & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff);
    match VerifyingKey::from_bytes(bytes) {
        Ok(key) if reduced && !key.is_weak() => Ok(()),
        _ => Err(Unfit::Point),
    }
}

/// The true length: an mpint of 3072 bits is stored in 385 bytes, one of 3065 in 384.
fn bit_length(number: &Mpint) -> usize {
    let bytes = number.as_positive_bytes().unwrap_or_default();
    let zeros = bytes.first().map_or(0, |byte| byte.leading_zeros());
    (bytes.len() * 8).saturating_sub(usize::try_from(zeros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::public::Ed25519PublicKey;

    fn rsa(bytes: usize, first: u8, e: &[u8]) -> KeyData {
        let mut n = vec![0xa5; bytes];
        n[0] = first;
        let (e, n) = (Mpint::from_positive_bytes(e), Mpint::from_positive_bytes(&n));
        RsaPublicKey::new(e, n).map_or_else(|_| panic!("not a key"), KeyData::Rsa)
    }

    #[test]
    fn an_rsa_key_is_measured_in_true_bits() {
        assert_eq!(fit(&rsa(384, 0x80, &[1, 0, 1])), Ok(()));
        // 384 bytes whose first holds one bit: 3065 bits, not 3072.
        assert_eq!(fit(&rsa(384, 0x01, &[1, 0, 1])), Err(Unfit::Size { bits: 3065 }));
        assert_eq!(fit(&rsa(256, 0xff, &[1, 0, 1])), Err(Unfit::Size { bits: 2048 }));
        assert_eq!(fit(&rsa(384, 0x80, &[1])), Err(Unfit::Exponent));
    }

    #[test]
    fn low_order_points_are_no_keys() {
        for bytes in [[0u8; 32], {
            let mut one = [0u8; 32];
            one[0] = 1;
            one
        }] {
            assert_eq!(fit(&KeyData::Ed25519(Ed25519PublicKey(bytes))), Err(Unfit::Point));
        }
    }

    /// Two spellings of one point would be one key with two fingerprints.
    #[test]
    fn a_point_has_one_spelling() {
        let (mut points, mut refused) = (0, 0);
        for y in 0u8..19 {
            let mut plain = [0; 32];
            plain[0] = y;
            let mut more = [0xff; 32];
            (more[0], more[31]) = (0xed + y, 0x7f);
            for sign in [0, 0x80] {
                (plain[31], more[31]) = (sign, 0x7f | sign);
                points += usize::from(fit(&KeyData::Ed25519(Ed25519PublicKey(plain))).is_ok());
                let again = fit(&KeyData::Ed25519(Ed25519PublicKey(more)));
                refused += usize::from(again == Err(Unfit::Point));
            }
        }
        assert!(points > 10 && refused == 38, "{points} {refused}");
    }
}
