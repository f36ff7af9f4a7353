//! Which public keys may be certified and may log in: the types hallpass takes, and their strength.

use ed25519_dalek::VerifyingKey;
use ssh_key::Mpint;
use ssh_key::public::{EcdsaPublicKey, KeyData};

/// Why a key is not taken, in words for its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// A type outside ed25519, ecdsa p256/p384, the two sk types and RSA.
    Type(String),
    /// Too few bits, too many, or an exponent no real key has.
    Rsa {
        /// The modulus's true length in bits.
        bits: usize,
    },
    /// The point is not on its curve, or generates only a small group.
    Point,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Type(name) => write!(
                f,
                "{name} keys are not taken: use ed25519, ecdsa (256 or 384), ed25519-sk, ecdsa-sk, or rsa of 3072 bits or more"
            ),
            Self::Rsa { bits } => write!(
                f,
                "an RSA key of {bits} bits is not taken: 3072 to 8192 bits with an ordinary exponent are"
            ),
            Self::Point => write!(
                f,
                "the key is damaged: its point is not a point of its curve"
            ),
        }
    }
}

impl std::error::Error for Unfit {}

/// Whether this key may log in and be certified.
///
/// Nothing is computed with an RSA key before its size is known: pathological parameters once kept
/// a server busy (CVE-2026-39829). P-521 is left out because of biased nonces in a client that many
/// people used (CVE-2024-31497). A certificate or a CA-like type is not a subject.
pub fn fit(key: &KeyData) -> Result<(), Unfit> {
    match key {
        KeyData::Ed25519(key) => point_25519(&key.0),
        KeyData::SkEd25519(key) => point_25519(&key.public_key().0),
        KeyData::Ecdsa(EcdsaPublicKey::NistP256(point)) => {
            p256::PublicKey::from_sec1_bytes(point.as_bytes())
                .map(|_| ())
                .map_err(|_| Unfit::Point)
        }
        KeyData::Ecdsa(EcdsaPublicKey::NistP384(point)) => {
            p384::PublicKey::from_sec1_bytes(point.as_bytes())
                .map(|_| ())
                .map_err(|_| Unfit::Point)
        }
        KeyData::SkEcdsaSha2NistP256(key) => {
            p256::PublicKey::from_sec1_bytes(key.ec_point().as_bytes())
                .map(|_| ())
                .map_err(|_| Unfit::Point)
        }
        KeyData::Rsa(key) => {
            let bits = bit_length(key.n());
            let ordinary = match key.e().as_positive_bytes() {
                Some(e) if e.len() <= 4 => {
                    let value = e
                        .iter()
                        .fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
                    value >= 3 && value & 1 == 1
                }
                _ => false,
            };
            let odd = key
                .n()
                .as_positive_bytes()
                .and_then(<[u8]>::last)
                .is_some_and(|byte| byte & 1 == 1);
            if (3072..=8192).contains(&bits) && ordinary && odd {
                Ok(())
            } else {
                Err(Unfit::Rsa { bits })
            }
        }
        other => Err(Unfit::Type(other.algorithm().as_str().to_owned())),
    }
}

/// A point of the curve that does not lie in the small subgroup.
fn point_25519(bytes: &[u8; 32]) -> Result<(), Unfit> {
    match VerifyingKey::from_bytes(bytes) {
        Ok(key) if !key.is_weak() => Ok(()),
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
    use ssh_key::public::{Ed25519PublicKey, RsaPublicKey};

    fn rsa(bytes: usize, first: u8, e: &[u8]) -> KeyData {
        let mut n = vec![0xa5; bytes];
        n[0] = first;
        let (e, n) = (
            Mpint::from_positive_bytes(e),
            Mpint::from_positive_bytes(&n),
        );
        RsaPublicKey::new(e, n).map_or_else(|_| panic!("not a key"), KeyData::Rsa)
    }

    #[test]
    fn an_rsa_key_is_measured_in_true_bits() {
        assert_eq!(fit(&rsa(384, 0x80, &[1, 0, 1])), Ok(()));
        // 384 bytes whose first holds one bit: 3065 bits, not 3072.
        assert_eq!(
            fit(&rsa(384, 0x01, &[1, 0, 1])),
            Err(Unfit::Rsa { bits: 3065 })
        );
        assert_eq!(
            fit(&rsa(256, 0xff, &[1, 0, 1])),
            Err(Unfit::Rsa { bits: 2048 })
        );
        assert_eq!(fit(&rsa(384, 0x80, &[1])), Err(Unfit::Rsa { bits: 3072 }));
    }

    #[test]
    fn low_order_points_are_no_keys() {
        for bytes in [[0u8; 32], {
            let mut one = [0u8; 32];
            one[0] = 1;
            one
        }] {
            assert_eq!(
                fit(&KeyData::Ed25519(Ed25519PublicKey(bytes))),
                Err(Unfit::Point)
            );
        }
    }
}
