//! Whatever text is presented, there is an answer and no panic.

use crate::support::{Draft, ManualClock, with_secret};
use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use std::sync::Arc;
use tidings_auth::{Auth, Refusal};

fn check(presented: &str) -> Result<(), Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let auth: Auth = with_secret(Arc::new(ManualClock::new())).await;
        let _ = auth.check_bearer(presented).await;
        auth.check_token(presented).await.map(|_| ())
    })
}

fn encode(text: &str) -> String {
    BASE64URL_NOPAD.encode(text.as_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        prop_assert!(check(&text).is_err());
    }

    #[test]
    fn any_three_parts(header in "\\PC{0,64}", claims in "\\PC{0,64}", signature in "[A-Za-z0-9_=-]{0,64}") {
        let token = format!("{}.{}.{signature}", encode(&header), encode(&claims));
        prop_assert!(check(&token).is_err());
    }

    #[test]
    fn any_header_that_names_the_algorithm(rest in "\\PC{0,64}", signature in "[A-Za-z0-9_-]{0,64}") {
        let header = format!(r#"{{"alg":"HS256","x":{rest}"#);
        let token = format!("{}.e30.{signature}", encode(&header));
        prop_assert!(check(&token).is_err());
    }

    /// The claims of those who do know the secret are parsed further than those of strangers.
    #[test]
    fn any_claims_with_a_good_signature(claims in "\\PC{0,64}", number in any::<f64>(), sub in any::<String>()) {
        let _ = check(&Draft::new("HS256").with_raw_claims(&claims));
        let _ = check(&Draft::new("HS256").claim("exp", number).claim("nbf", number).token());
        let _ = check(&Draft::new("HS256").claim("sub", sub).token());
    }

    /// Every other character in any place spoils a good token.
    #[test]
    fn one_changed_character(place in any::<prop::sample::Index>(), other in any::<char>()) {
        let token = Draft::new("HS256").token();
        let mut all: Vec<char> = token.chars().collect();
        let place = place.index(all.len());
        prop_assume!(all[place] != other);
        all[place] = other;
        let spoiled: String = all.iter().collect();
        prop_assert!(check(&spoiled).is_err());
    }
}
