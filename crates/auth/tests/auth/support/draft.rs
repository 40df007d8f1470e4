use super::{AUDIENCE, ISSUER, ManualClock, SECRET, sign};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

/// A token in the making. As it comes it is good; a test spoils one thing.
#[derive(Clone)]
pub struct Draft {
    header: Value,
    claims: Value,
    how: String,
    key: String,
}

impl Draft {
    /// A good token of this algorithm for `ana`, by the key that [`World`](super::World) knows for it.
    pub fn new(algorithm: &str) -> Self {
        let key = match algorithm {
            "HS256" => SECRET,
            "RS256" => "rsa",
            "ES256" => "p256",
            "EdDSA" => "ed25519",
            other => panic!("no token is good as {other}"),
        };
        let now = ManualClock::START;
        let draft = Self {
            header: json!({ "alg": algorithm, "typ": "JWT" }),
            claims: json!({ "sub": "ana", "iat": now, "exp": now + 60, "aud": AUDIENCE, "iss": ISSUER }),
            how: algorithm.into(),
            key: key.into(),
        };
        if matches!(algorithm, "ES256" | "EdDSA") { draft.header("kid", key) } else { draft }
    }

    /// A good one of each algorithm.
    pub fn each() -> [Self; 4] {
        ["HS256", "RS256", "ES256", "EdDSA"].map(Self::new)
    }

    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    pub fn without_header(mut self, name: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(name);
        self
    }

    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name);
        self
    }

    /// Signs with another key than the good one.
    pub fn by(mut self, key: &str) -> Self {
        self.key = key.into();
        self
    }

    /// Signs in another way than the header says.
    pub fn signed_as(mut self, how: &str) -> Self {
        self.how = how.into();
        self
    }

    /// Signs in another way, and says so in the header.
    pub fn algorithm(self, how: &str) -> Self {
        self.header("alg", how).signed_as(how)
    }

    /// The token.
    pub fn token(&self) -> String {
        self.token_of(&self.header.to_string(), &self.claims.to_string())
    }

    /// A token of this header, for what JSON values cannot say.
    pub fn with_raw_header(&self, header: &str) -> String {
        self.token_of(header, &self.claims.to_string())
    }

    /// A token of these claims, for what JSON values cannot say.
    pub fn with_raw_claims(&self, claims: &str) -> String {
        self.token_of(&self.header.to_string(), claims)
    }

    /// The token's three parts.
    pub fn parts(&self) -> [String; 3] {
        let token = self.token();
        let parts: Vec<_> = token.split('.').map(str::to_owned).collect();
        parts.try_into().unwrap()
    }

    fn token_of(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = sign(&self.how, &self.key, signed.as_bytes());
        format!("{signed}.{}", encode(&signature))
    }
}

fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}
