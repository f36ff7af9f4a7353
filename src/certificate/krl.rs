//! Key revocation lists as sshd reads them (OpenSSH's PROTOCOL.krl, section 1).
//!
//! A list without sections revokes nothing. sshd needs it all the same: a `RevokedKeys` file that is
//! missing or no list keeps everybody out.

use super::time::UnixTime;
use super::wire::{put_string, put_u32, put_u64};

/// "SSHKRL\n\0".
const MAGIC: u64 = 0x5353_484b_524c_0a00;
const FORMAT: u32 = 1;

/// A key revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Krl {
    /// Grows with each list.
    pub version: u64,
    /// When it was made.
    pub generated: UnixTime,
    /// For people.
    pub comment: String,
}

impl Krl {
    /// The list that revokes nothing and is older than every other. Its bytes are always the same.
    pub fn empty() -> Self {
        let comment = "hallpass: nothing is revoked".to_owned();
        Self { version: 0, generated: UnixTime::from_secs(0), comment }
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(&mut out, MAGIC);
        put_u32(&mut out, FORMAT);
        put_u64(&mut out, self.version);
        put_u64(&mut out, self.generated.secs());
        // Flags, and a field that is reserved.
        put_u64(&mut out, 0);
        put_string(&mut out, b"");
        put_string(&mut out, self.comment.as_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_bytes_are_those_of_ssh_keygen() {
        // `ssh-keygen -k -z 7 -f krl`, which writes no comment.
        let krl =
            Krl { version: 7, generated: UnixTime::from_secs(0x6b03_232c), comment: String::new() };
        let mut expected =
            b"SSHKRL\n\0\0\0\0\x01\0\0\0\0\0\0\0\x07\0\0\0\0\x6b\x03\x23\x2c".to_vec();
        expected.extend([0; 16]);
        assert_eq!(krl.to_bytes(), expected);
        assert_eq!(Krl::empty().to_bytes().len(), 44 + Krl::empty().comment.len());
    }
}
