use crate::key::Key;
use der::asn1::{AnyRef, BitStringRef, UintRef};
use der::{Decode, Reader, SliceReader};
use spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};
use std::fs::File;
use std::io::Read;
use std::path::Path;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Nobody's public key is longer; a device or a log file given by mistake is not read to its end.
const MAX_BYTES: u64 = 64 * 1024;

/// Reads the one public key of a PEM file. The error is a sentence for the operator.
pub(crate) fn read(path: &Path) -> Result<Key, String> {
    let sentence = |problem: String| format!("TIDINGS_JWT_PUBLIC_KEY_FILE: {} {problem}.", path.display());
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text))
        .map_err(|error| sentence(format!("cannot be read: {error}")))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(sentence("is too large for a public key".into()));
    }
    parse(&text).map_err(sentence)
}

/// The error continues a sentence about the file.
fn parse(text: &[u8]) -> Result<Key, String> {
    // Before anything else, even of a file that is otherwise damaged: such a file should not lie here.
    let tag_of_private = b"PRIVATE KEY-----";
    if text.windows(tag_of_private.len()).any(|window| window == tag_of_private) {
        return Err("holds a private key, where only the public one belongs".into());
    }
    let blocks = pem::parse_many(text).map_err(|_| "is not a PEM file".to_owned())?;
    let [block] = blocks.as_slice() else {
        return Err(match blocks.len() {
            0 => "is not a PEM file".into(),
            several => format!("holds {several} PEM blocks, where one public key is required"),
        });
    };
    match block.tag() {
        "PUBLIC KEY" => subject_public_key(block.contents()),
        "RSA PUBLIC KEY" => rsa(block.contents()),
        "CERTIFICATE" => Err("holds a certificate; write its public key to a file of its own".into()),
        _ => Err("holds a PEM block that is not a public key".into()),
    }
}

/// RFC 5280's SubjectPublicKeyInfo.
fn subject_public_key(der: &[u8]) -> Result<Key, String> {
    let damaged = || "holds a damaged public key".to_owned();
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| damaged())?;
    let SubjectPublicKeyInfoRef { algorithm, subject_public_key } = info;
    let bits: BitStringRef<'_> = subject_public_key;
    let bytes = bits.as_bytes().ok_or_else(damaged)?;
    match algorithm.oid {
        RSA => rsa(bytes),
        ELLIPTIC_CURVE if is_on(&algorithm, P256) => Key::p256(bytes),
        ELLIPTIC_CURVE => Err("holds a key on another curve than P-256".into()),
        ED25519 => Key::ed25519(bytes),
        _ => Err("holds a key that is neither RSA nor P-256 nor Ed25519".into()),
    }
}

fn is_on(algorithm: &AlgorithmIdentifierRef<'_>, curve: ObjectIdentifier) -> bool {
    algorithm.parameters.is_some_and(|any: AnyRef<'_>| any.decode_as::<ObjectIdentifier>() == Ok(curve))
}

/// RFC 8017's RSAPublicKey.
fn rsa(der: &[u8]) -> Result<Key, String> {
    let numbers = || -> der::Result<(&[u8], &[u8])> {
        let mut reader = SliceReader::new(der)?;
        let numbers = reader.sequence(|body| -> der::Result<_> {
            let (modulus, exponent) = (UintRef::decode(body)?, UintRef::decode(body)?);
            Ok((modulus.as_bytes(), exponent.as_bytes()))
        })?;
        reader.finish()?;
        Ok(numbers)
    };
    let (modulus, exponent) = numbers().map_err(|_| "holds a damaged RSA key".to_owned())?;
    Key::rsa(modulus, exponent)
}
