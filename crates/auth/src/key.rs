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

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64URL_NOPAD;

    fn bytes(text: &str) -> Vec<u8> {
        BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
    }

    #[track_caller]
    fn verifies(key: &Key, token: &str) {
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = bytes(signature);
        assert!(key.verifies(message.as_bytes(), &signature));
        assert!(!key.verifies(&message.as_bytes()[1..], &signature));
        for place in [0, signature.len() / 2, signature.len() - 1] {
            let mut other = signature.clone();
            other[place] ^= 1;
            assert!(!key.verifies(message.as_bytes(), &other));
        }
    }

    /// RFC 7515 appendix A.1.
    #[test]
    fn the_example_of_the_standard_for_hs256() {
        let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        verifies(
            &Key::secret(&bytes(secret)),
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6\
             Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        );
    }

    /// RFC 7515 appendix A.2.
    #[test]
    fn the_example_of_the_standard_for_rs256() {
        let modulus = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0\
                       Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re\
                       xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvU\
                       K-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
        verifies(
            &Key::rsa(&bytes(modulus), &bytes("AQAB")).unwrap(),
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9p\
             c19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_l\
             F5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSj\
             tQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9Q\
             OYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        );
    }

    /// RFC 7515 appendix A.3.
    #[test]
    fn the_example_of_the_standard_for_es256() {
        let (x, y) =
            ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        verifies(
            &Key::p256(&[vec![4], bytes(x), bytes(y)].concat()).unwrap(),
            "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9p\
             c19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-\
             Kg6NU1Q",
        );
    }

    /// RFC 8037 appendix A.4.
    #[test]
    fn the_example_of_the_standard_for_eddsa() {
        verifies(
            &Key::ed25519(&bytes("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")).unwrap(),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIb\
             QR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        );
    }

    #[test]
    fn unsound_rsa_numbers_are_refused() {
        let odd = |length: usize| [vec![0xff; length - 1], vec![0x01]].concat();
        let exponent = [1, 0, 1];
        assert!(Key::rsa(&odd(256), &exponent).is_ok());
        assert!(Key::rsa(&[vec![0; 3], odd(256)].concat(), &[0, 1, 0, 1]).is_ok(), "zeros before them");
        for (modulus, exponent) in [
            (odd(255), &exponent[..]),
            (odd(1025), &exponent),
            (vec![], &exponent),
            (vec![0; 256], &exponent),
            (vec![0xfe; 256], &exponent),
            (odd(256), &[]),
            (odd(256), &[0]),
            (odd(256), &[1]),
            (odd(256), &[2]),
            (odd(256), &[0xff; 5]),
        ] {
            assert!(Key::rsa(&modulus, exponent).is_err(), "{} bytes, {exponent:?}", modulus.len());
        }
    }

    #[test]
    fn what_is_no_point_is_refused() {
        for point in [vec![], vec![4; 64], vec![0; 65], vec![4; 65], [vec![4], vec![0xff; 64]].concat()] {
            assert!(Key::p256(&point).is_err());
        }
        assert!(Key::ed25519(&[0; 31]).is_err() && Key::ed25519(&[0; 33]).is_err());
    }
}
