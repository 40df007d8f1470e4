//! The table of attacks: one row is one test. A row names the good tokens it starts from, what the attacker makes of
//! them, and the refusal. Each row first shows that its good neighbours are accepted.

use crate::support::{Draft, ManualClock, SECRET, World, jwk, public_pem};
use serde_json::{Value, json};
use tidings_auth::Refusal::{self, *};

async fn refused(good: Vec<Draft>, attack: fn(&Draft) -> String, refusal: Refusal) {
    let world = World::new().await;
    for draft in good {
        let token = draft.token();
        assert_eq!(world.auth.check_token(&token).await.unwrap().user.as_str(), "ana", "the good neighbour");
        let attack = attack(&draft);
        assert_eq!(world.auth.check_token(&attack).await, Err(refusal), "{attack}");
        let requests = world.server.requests();
        assert_eq!(requests, 1, "an attack within the floor causes no fetch");
    }
}

macro_rules! attacks {
    ($($name:ident: $good:expr, $attack:expr => $refusal:expr;)+) => {$(
        #[tokio::test]
        async fn $name() {
            refused($good, $attack, $refusal).await;
        }
    )+};
}

/// Good tokens of all four algorithms.
fn each() -> Vec<Draft> {
    Draft::each().into()
}

fn of(algorithm: &str) -> Vec<Draft> {
    vec![Draft::new(algorithm)]
}

/// The token with its last part replaced.
fn with_signature(draft: &Draft, signature: &str) -> String {
    let [header, claims, _] = draft.parts();
    format!("{header}.{claims}.{signature}")
}

const NOW: i64 = ManualClock::START;

// What is no token.
attacks! {
    no_token: each(), |_| String::new() => Missing;
    garbage: each(), |_| "garbage".into() => Malformed;
    only_dots: each(), |_| "..".into() => Malformed;
    garbage_in_three_parts: each(), |_| "ga.rb.age".into() => Malformed;
    two_parts: each(), |draft| draft.parts()[..2].join(".") => Malformed;
    four_parts: each(), |draft| format!("{}.e30", draft.token()) => Malformed;
    an_encrypted_token_of_five_parts: each(), |draft| format!("{}.e30.e30", draft.token()) => Malformed;
    the_word_bearer_before_it: each(), |draft| format!("Bearer {}", draft.token()) => Malformed;
    a_space_before_it: each(), |draft| format!(" {}", draft.token()) => Malformed;
    a_line_end_behind_it: each(), |draft| format!("{}\n", draft.token()) => Malformed;
    padding: each(), |draft| format!("{}=", draft.token()) => Malformed;
    another_alphabet: each(), |draft| with_signature(draft, "+/+/") => Malformed;
    a_header_that_is_an_array: each(), |draft| draft.with_raw_header(r#"["HS256"]"#) => Malformed;
    a_header_that_is_text: each(), |draft| draft.with_raw_header(r#""HS256""#) => Malformed;
    a_header_cut_short: each(), |draft| draft.with_raw_header(r#"{"alg":"HS256""#) => Malformed;
    a_header_nested_beyond_reason: each(),
        |draft| draft.with_raw_header(&format!(r#"{{"alg":"HS256","x":{}}}"#, "[".repeat(3000))) => Malformed;
    longer_than_eight_kib: each(), |draft| draft.clone().claim("x", "x".repeat(8192)).token() => TooLong;
}

// What chooses how it is verified.
attacks! {
    no_algorithm: each(), |draft| draft.clone().without_header("alg").token() => Malformed;
    alg_none: each(), |draft| draft.clone().algorithm("none").token() => WrongAlgorithm;
    alg_none_capital: each(), |draft| draft.clone().header("alg", "None").signed_as("none").token() => WrongAlgorithm;
    alg_none_mixed: each(), |draft| draft.clone().header("alg", "nOnE").signed_as("none").token() => WrongAlgorithm;
    alg_none_upper: each(), |draft| draft.clone().header("alg", "NONE").signed_as("none").token() => WrongAlgorithm;
    alg_none_with_a_signature: each(), |draft| draft.clone().header("alg", "none").token() => WrongAlgorithm;
    alg_empty: each(), |draft| draft.clone().header("alg", "").token() => WrongAlgorithm;
    alg_lower_case: each(),
        |draft| draft.clone().header("alg", "hs256").token() => WrongAlgorithm;
    alg_null: each(), |draft| draft.clone().header("alg", Value::Null).token() => Malformed;
    alg_a_number: each(), |draft| draft.clone().header("alg", 256).token() => Malformed;
    alg_a_list: each(), |draft| draft.clone().header("alg", json!(["HS256", "none"])).token() => Malformed;
    alg_twice: each(),
        |draft| draft.with_raw_header(r#"{"alg":"HS256","alg":"none"}"#) => Malformed;
    hs256_by_the_rsa_public_pem: of("RS256"),
        |draft| draft.clone().algorithm("HS256").by(&public_pem("rsa")).token() => BadSignature;
    hs256_by_the_rsa_public_pem_without_its_last_line_end: of("RS256"),
        |draft| draft.clone().algorithm("HS256").by(public_pem("rsa").trim_end()).token() => BadSignature;
    hs256_by_the_rsa_modulus: of("RS256"),
        |draft| draft.clone().algorithm("HS256").by(jwk("rsa", "rsa")["n"].as_str().unwrap()).token() => BadSignature;
    hs256_by_the_p256_public_pem: of("ES256"),
        |draft| draft.clone().algorithm("HS256").by(&public_pem("p256")).token() => BadSignature;
    hs256_by_the_ed25519_public_key: of("EdDSA"),
        |draft| draft.clone().algorithm("HS256").by(jwk("ed25519", "")["x"].as_str().unwrap()).token() => BadSignature;
    hs384_by_the_secret: of("HS256"), |draft| draft.clone().algorithm("HS384").token() => WrongAlgorithm;
    hs512_by_the_secret: of("HS256"), |draft| draft.clone().algorithm("HS512").token() => WrongAlgorithm;
    hs512_that_says_hs256: of("HS256"), |draft| draft.clone().signed_as("HS512").token() => BadSignature;
    rs384_by_the_rsa_key: of("RS256"), |draft| draft.clone().algorithm("RS384").token() => WrongAlgorithm;
    rs512_by_the_rsa_key: of("RS256"), |draft| draft.clone().algorithm("RS512").token() => WrongAlgorithm;
    ps256_by_the_rsa_key: of("RS256"), |draft| draft.clone().algorithm("PS256").token() => WrongAlgorithm;
    es384_by_a_p384_key: of("ES256"), |draft| draft.clone().algorithm("ES384").by("p384").token() => WrongAlgorithm;
    es384_that_says_es256: of("ES256"),
        |draft| draft.clone().signed_as("ES384").by("p384").token() => BadSignature;
    rs256_that_says_es256: of("ES256"), |draft| draft.clone().signed_as("RS256").by("rsa").token() => BadSignature;
    eddsa_that_says_es256: of("ES256"),
        |draft| draft.clone().signed_as("EdDSA").by("ed25519").token() => BadSignature;
    es256_that_says_eddsa: of("EdDSA"), |draft| draft.clone().signed_as("ES256").by("p256").token() => BadSignature;
    es256_that_says_rs256_with_the_rsa_key_elsewhere: of("ES256"),
        |draft| draft.clone().header("alg", "RS256").token() => WrongAlgorithm;
}

// What the signature is worth.
attacks! {
    no_signature: each(), |draft| with_signature(draft, "") => BadSignature;
    a_signature_of_zeros: each(), |draft| {
        let length = draft.parts()[2].len();
        with_signature(draft, &"A".repeat(length))
    } => BadSignature;
    half_a_signature: each(), |draft| with_signature(draft, &draft.parts()[2][..40]) => BadSignature;
    a_longer_signature: each(), |draft| with_signature(draft, &format!("AAAA{}", draft.parts()[2])) => BadSignature;
    another_tokens_signature: each(),
        |draft| with_signature(draft, &draft.clone().claim("sub", "bo").parts()[2]) => BadSignature;
    another_users_claims: each(), |draft| {
        let [header, _, signature] = draft.parts();
        let [_, claims, _] = draft.clone().claim("sub", "bo").parts();
        format!("{header}.{claims}.{signature}")
    } => BadSignature;
    another_header: each(), |draft| {
        let [_, claims, signature] = draft.parts();
        let [header, _, _] = draft.clone().header("x", "x").parts();
        format!("{header}.{claims}.{signature}")
    } => BadSignature;
    another_secret: of("HS256"),
        |draft| draft.clone().by("another secret of more than 32 bytes").token() => BadSignature;
    the_secret_with_a_line_end: of("HS256"),
        |draft| draft.clone().by(&format!("{SECRET}\n")).token() => BadSignature;
    an_empty_secret: of("HS256"), |draft| draft.clone().by("").token() => BadSignature;
    the_api_key_as_secret: of("HS256"), |draft| draft.clone().by(crate::support::API_KEY).token() => BadSignature;
    another_ed25519_key: of("EdDSA"), |draft| draft.clone().by("ed25519-other").token() => BadSignature;
    another_p256_key: of("ES256"), |draft| draft.clone().by("p256-other").token() => BadSignature;
    es256_in_asn1: of("ES256"), |draft| draft.clone().signed_as("ES256 in ASN.1").token() => BadSignature;
}

// Which key it names, or brings along.
attacks! {
    an_unknown_kid: [of("ES256"), of("EdDSA")].concat(),
        |draft| draft.clone().header("kid", "nobody").token() => UnknownKey;
    an_unknown_kid_and_not_the_key_of_the_file: of("RS256"),
        |draft| draft.clone().header("kid", "nobody").by("rsa-other").token() => UnknownKey;
    another_rsa_key: of("RS256"), |draft| draft.clone().by("rsa-other").token() => BadSignature;
    a_kid_in_other_case: of("ES256"), |draft| draft.clone().header("kid", "P256").token() => UnknownKey;
    an_empty_kid: of("ES256"), |draft| draft.clone().header("kid", "").token() => UnknownKey;
    a_kid_that_is_a_path: of("ES256"), |draft| draft.clone().header("kid", "../../dev/null").token() => UnknownKey;
    a_kid_that_is_a_number: of("ES256"), |draft| draft.clone().header("kid", 1).token() => Malformed;
    the_kid_of_another_key: of("ES256"), |draft| draft.clone().header("kid", "p256-other").token() => BadSignature;
    the_kid_of_a_key_of_another_kind: of("ES256"),
        |draft| draft.clone().header("kid", "ed25519").token() => WrongAlgorithm;
    no_kid_and_a_foreign_key: of("EdDSA"),
        |draft| draft.clone().without_header("kid").by("ed25519-other").token() => BadSignature;
    its_own_key_in_the_header: of("EdDSA"), |draft| {
        draft.clone().header("jwk", jwk("ed25519-other", "ed25519")).by("ed25519-other").token()
    } => BadSignature;
    a_key_set_of_its_own: of("EdDSA"), |draft| {
        draft.clone().header("jku", "http://127.0.0.1:9/keys").header("kid", "own").by("ed25519-other").token()
    } => UnknownKey;
    crit_with_an_unknown_extension: each(),
        |draft| draft.clone().header("crit", json!(["exp"])).token() => UnknownExtension;
    crit_b64: each(),
        |draft| draft.clone().header("crit", json!(["b64"])).header("b64", false).token() => UnknownExtension;
    crit_empty: each(), |draft| draft.clone().header("crit", json!([])).token() => UnknownExtension;
    crit_null: each(), |draft| draft.clone().header("crit", Value::Null).token() => UnknownExtension;
    a_logout_token: each(), |draft| draft.clone().header("typ", "logout+jwt").token() => WrongType;
    a_dpop_proof: each(), |draft| draft.clone().header("typ", "dpop+jwt").token() => WrongType;
}

// What it claims.
attacks! {
    claims_that_are_no_json: each(), |draft| draft.with_raw_claims("claims") => Malformed;
    claims_that_are_an_array: each(), |draft| draft.with_raw_claims("[]") => Malformed;
    no_claims: each(), |draft| draft.with_raw_claims("{}") => NoExpiry;
    empty_claims: each(), |draft| draft.with_raw_claims("") => Malformed;
    claims_nested_beyond_reason: each(),
        |draft| draft.with_raw_claims(&format!(r#"{{"x":{}}}"#, "[".repeat(3000))) => Malformed;
    no_exp: each(), |draft| draft.clone().without("exp").token() => NoExpiry;
    exp_null: each(), |draft| draft.clone().claim("exp", Value::Null).token() => NoExpiry;
    exp_just_now: each(), |draft| draft.clone().claim("exp", NOW).token() => Expired;
    exp_long_ago: each(), |draft| draft.clone().claim("exp", NOW - 86_400).token() => Expired;
    exp_zero: each(), |draft| draft.clone().claim("exp", 0).token() => Expired;
    exp_as_text: each(), |draft| draft.clone().claim("exp", (NOW + 60).to_string()).token() => Malformed;
    exp_as_a_list: each(), |draft| draft.clone().claim("exp", json!([NOW + 60])).token() => Malformed;
    exp_true: each(), |draft| draft.clone().claim("exp", true).token() => Malformed;
    exp_negative: each(), |draft| draft.clone().claim("exp", -NOW).token() => Malformed;
    exp_huge: each(), |draft| draft.clone().claim("exp", u64::MAX).token() => Malformed;
    exp_in_milliseconds: each(), |draft| draft.clone().claim("exp", (NOW + 60) * 1000).token() => Malformed;
    exp_beyond_numbers: each(), |draft| draft.with_raw_claims(r#"{"sub":"ana","exp":1e999}"#) => Malformed;
    exp_twice: each(), |draft| {
        draft.with_raw_claims(&format!(r#"{{"sub":"ana","exp":1,"exp":{}}}"#, NOW + 60))
    } => Malformed;
    nbf_ahead: each(), |draft| draft.clone().claim("nbf", NOW + 6).token() => NotYetValid;
    nbf_as_text: each(), |draft| draft.clone().claim("nbf", NOW.to_string()).token() => Malformed;
    iat_ahead: each(), |draft| draft.clone().claim("iat", NOW + 6).token() => NotYetValid;
    no_aud: each(), |draft| draft.clone().without("aud").token() => WrongAudience;
    another_aud: each(), |draft| draft.clone().claim("aud", "other").token() => WrongAudience;
    aud_in_other_case: each(), |draft| draft.clone().claim("aud", "Tidings").token() => WrongAudience;
    aud_that_begins_alike: each(), |draft| draft.clone().claim("aud", "tidings-staging").token() => WrongAudience;
    aud_of_others: each(), |draft| draft.clone().claim("aud", json!(["a", "b"])).token() => WrongAudience;
    aud_empty_list: each(), |draft| draft.clone().claim("aud", json!([])).token() => WrongAudience;
    aud_in_a_list_in_a_list: each(), |draft| draft.clone().claim("aud", json!([["tidings"]])).token() => WrongAudience;
    aud_as_an_object: each(), |draft| draft.clone().claim("aud", json!({"tidings": true})).token() => WrongAudience;
    no_iss: each(), |draft| draft.clone().without("iss").token() => WrongIssuer;
    another_iss: each(), |draft| draft.clone().claim("iss", "https://elsewhere.test").token() => WrongIssuer;
    iss_with_a_slash: each(), |draft| draft.clone().claim("iss", "https://issuer.test/").token() => WrongIssuer;
    iss_in_a_list: each(), |draft| draft.clone().claim("iss", json!(["https://issuer.test"])).token() => WrongIssuer;
    no_sub: each(), |draft| draft.clone().without("sub").token() => BadSubject;
    sub_null: each(), |draft| draft.clone().claim("sub", Value::Null).token() => BadSubject;
    sub_empty: each(), |draft| draft.clone().claim("sub", "").token() => BadSubject;
    sub_a_number: each(), |draft| draft.clone().claim("sub", 7).token() => BadSubject;
    sub_a_list: each(), |draft| draft.clone().claim("sub", json!(["ana"])).token() => BadSubject;
    sub_with_a_control_character: each(), |draft| draft.clone().claim("sub", "an\u{0}a").token() => BadSubject;
    sub_with_a_line_end: each(), |draft| draft.clone().claim("sub", "ana\n").token() => BadSubject;
    sub_too_long: each(), |draft| draft.clone().claim("sub", "x".repeat(129)).token() => BadSubject;
    sub_twice: each(), |draft| {
        draft.with_raw_claims(&format!(r#"{{"sub":"ana","sub":"bo","exp":{}}}"#, NOW + 60))
    } => Malformed;
}
