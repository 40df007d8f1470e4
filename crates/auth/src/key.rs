use crate::algorithm::Algorithm;
use ring::{hmac, signature};
use std::fmt;

/// Something to verify signatures with. What it is decides its one algorithm.
#[derive(Clone)]
pub(crate) enum Key {
    /// A shared secret, for HS256.
    Secret(hmac::Key),
    /// An RSA key's modulus and exponent, big-endian without leading zeros, for RS256.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// A point on P-256, uncompressed, for ES256.
    P256([u8; 65]),
    /// An Ed25519 point, for EdDSA.
    Ed25519([u8; 32]),
}

const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

impl Key {
    pub(crate) fn secret(secret: &[u8]) -> Self {
        Self::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// From big-endian integers. The error continues a sentence about the key.
    pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, String> {
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        let bits = bit_length(modulus);
        if !RSA_BITS.contains(&bits) {
            let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
            return Err(format!("is an RSA key of {bits} bits, where {least} to {most} are required"));
        }
        let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
        // What the verifier takes; an exponent of 1 would make every text its own signature.
        if !odd(modulus) || !odd(exponent) || exponent == [1] || bit_length(exponent) > 33 {
            return Err("is not a sound RSA key".into());
        }
        Ok(Self::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
    }

    /// From an uncompressed point, which must lie on the curve. The error continues a sentence about the key.
    pub(crate) fn p256(point: &[u8]) -> Result<Self, String> {
        let point: [u8; 65] =
            point.try_into().map_err(|_| "is not an uncompressed P-256 point (04, x, y)".to_owned())?;
        if !is_on_p256(&point) {
            return Err("is not a point on P-256".into());
        }
        Ok(Self::P256(point))
    }

    /// From a point's 32 bytes. The error continues a sentence about the key.
    pub(crate) fn ed25519(point: &[u8]) -> Result<Self, String> {
        point.try_into().map(Self::Ed25519).map_err(|_| "is not an Ed25519 key of 32 bytes".to_owned())
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(_) => Algorithm::Hs256,
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(key) => hmac::verify(key, message, signature),
            Self::Rsa { modulus, exponent } => signature::RsaPublicKeyComponents { n: modulus, e: exponent }
                .verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature),
            Self::P256(point) => {
                signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature)
            }
            Self::Ed25519(point) => {
                signature::UnparsedPublicKey::new(&signature::ED25519, point).verify(message, signature)
            }
        }
        .is_ok()
    }
}

/// Agreeing on a secret with it is the one operation of the library that says whether the point is on the curve.
fn is_on_p256(point: &[u8; 65]) -> bool {
    use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
    EphemeralPrivateKey::generate(&ECDH_P256, &ring::rand::SystemRandom::new())
        .is_ok_and(|own| agree_ephemeral(own, &UnparsedPublicKey::new(&ECDH_P256, point), |_| ()).is_ok())
}

fn without_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

fn bit_length(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.algorithm())
    }
}
