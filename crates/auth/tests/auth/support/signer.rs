use super::SECRET;
use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use ring::{hmac, signature as algorithms};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The path of a file of test keys.
pub fn key_path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "keys", file].iter().collect()
}

pub fn public_pem(name: &str) -> String {
    std::fs::read_to_string(key_path(&format!("{name}.public.pem"))).unwrap()
}

fn private_der(name: &str) -> Vec<u8> {
    let text = std::fs::read(key_path(&format!("{name}.private.pem"))).unwrap();
    pem::parse(text).unwrap().into_contents()
}

fn rsa(name: &str) -> RsaKeyPair {
    RsaKeyPair::from_pkcs8(&private_der(name)).unwrap()
}

fn ed25519(name: &str) -> Ed25519KeyPair {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&private_der(name)).unwrap()
}

fn ecdsa(name: &str, how: &'static signature::EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    EcdsaKeyPair::from_pkcs8(how, &private_der(name), &SystemRandom::new()).unwrap()
}

/// Signs as the JOSE algorithm `how` says, whatever a header claims. `key` is a test key, or for HMAC the secret.
pub fn sign(how: &str, key: &str, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let rsa_with = |padding: &'static dyn signature::RsaEncoding| {
        let pair = rsa(key);
        let mut made = vec![0; pair.public().modulus_len()];
        pair.sign(padding, &random, message, &mut made).unwrap();
        made
    };
    let hmac_with = |hash| hmac::sign(&hmac::Key::new(hash, key.as_bytes()), message).as_ref().to_vec();
    let ecdsa_with = |how| ecdsa(key, how).sign(&random, message).unwrap().as_ref().to_vec();
    match how {
        "HS256" => hmac_with(hmac::HMAC_SHA256),
        "HS384" => hmac_with(hmac::HMAC_SHA384),
        "HS512" => hmac_with(hmac::HMAC_SHA512),
        "RS256" => rsa_with(&algorithms::RSA_PKCS1_SHA256),
        "RS384" => rsa_with(&algorithms::RSA_PKCS1_SHA384),
        "RS512" => rsa_with(&algorithms::RSA_PKCS1_SHA512),
        "PS256" => rsa_with(&algorithms::RSA_PSS_SHA256),
        "ES256" => ecdsa_with(&algorithms::ECDSA_P256_SHA256_FIXED_SIGNING),
        "ES256 in ASN.1" => ecdsa_with(&algorithms::ECDSA_P256_SHA256_ASN1_SIGNING),
        "ES384" => ecdsa_with(&algorithms::ECDSA_P384_SHA384_FIXED_SIGNING),
        "EdDSA" => ed25519(key).sign(message).as_ref().to_vec(),
        "none" => Vec::new(),
        other => panic!("no way to sign as {other}"),
    }
}

/// The public half of a test key as a JSON Web Key, without `kid`.
pub fn jwk(name: &str) -> Value {
    let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    match name {
        "secret" => json!({ "kty": "oct", "k": encode(SECRET.as_bytes()), "alg": "HS256" }),
        "rsa" | "rsa-other" => {
            let public = PublicKeyComponents::<Vec<u8>>::from(rsa(name).public());
            json!({ "kty": "RSA", "n": encode(&public.n), "e": encode(&public.e) })
        }
        "p256" | "p256-other" => {
            let pair = ecdsa(name, &algorithms::ECDSA_P256_SHA256_FIXED_SIGNING);
            let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
            json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
        }
        "p384" => {
            let pair = ecdsa(name, &algorithms::ECDSA_P384_SHA384_FIXED_SIGNING);
            let (x, y) = pair.public_key().as_ref()[1..].split_at(48);
            json!({ "kty": "EC", "crv": "P-384", "x": encode(x), "y": encode(y) })
        }
        name => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(ed25519(name).public_key().as_ref()) }),
    }
}
