// Tokens of every kind, also those that no library would make.

import { createHmac, generateKeyPairSync, sign } from 'node:crypto';

const text = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** Signs `header.payload` as the header says, or as `by` does. */
function token(header, payload, by) {
  const signed = `${text(header)}.${text(payload)}`;
  return `${signed}.${by(signed)}`;
}

const hmac = (secret, hash = 'sha256') => (signed) => createHmac(hash, secret).update(signed).digest('base64url');
const rsa = (key, hash = 'sha256') => (signed) => sign(hash, Buffer.from(signed), key).toString('base64url');
const ec = (key, hash = 'sha256') => (signed) =>
  sign(hash, Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
const ed = (key) => (signed) => sign(null, Buffer.from(signed), key).toString('base64url');

export const SECRET = 'a secret of the tests, longer than it has to be';
export const AUDIENCE = 'inbox';
export const ISSUER = 'https://issuer.example';

export const rsaKey = generateKeyPairSync('rsa', { modulusLength: 2048 });
export const ecKey = generateKeyPairSync('ec', { namedCurve: 'P-256' });
export const edKey = generateKeyPairSync('ed25519');
const foreignRsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const foreignEc = generateKeyPairSync('ec', { namedCurve: 'P-256' });

export const rsaPem = rsaKey.publicKey.export({ type: 'spki', format: 'pem' });

const now = () => Math.floor(Date.now() / 1000);

/** What a good token says. */
export const claims = (user = 'ana', more = {}) => ({
  sub: user, iat: now(), exp: now() + 600, aud: AUDIENCE, iss: ISSUER, ...more,
});

/** A good token: HS256 by the secret. */
export const hs256 = (payload = claims()) => token({ alg: 'HS256', typ: 'JWT' }, payload, hmac(SECRET));

const without = (name) => {
  const { [name]: _, ...rest } = claims();
  return rest;
};

/** Good ones, by each kind of key. */
export const ACCEPTED = {
  'HS256 by the secret': () => hs256(),
  'HS256 with several audiences': () => hs256(claims('ana', { aud: ['other', AUDIENCE] })),
  'HS256 that holds already': () => hs256(claims('ana', { nbf: now() - 60 })),
  'RS256 by the key file': () => token({ alg: 'RS256' }, claims(), rsa(rsaKey.privateKey)),
  'ES256 by the JWKS': () => token({ alg: 'ES256', kid: 'ec' }, claims(), ec(ecKey.privateKey)),
  'EdDSA by the JWKS': () => token({ alg: 'EdDSA', kid: 'ed' }, claims(), ed(edKey.privateKey)),
};

/** Bad ones, one attack each. */
export const REFUSED = {
  'not a token': () => 'nonsense',
  'three empty parts': () => '..',
  'a token of 20 KB': () => hs256(claims('ana', { more: 'x'.repeat(15_000) })),
  'wrong secret': () => token({ alg: 'HS256' }, claims(), hmac('another secret of the tests, long enough too')),
  'no signature': () => hs256().replace(/[^.]*$/, ''),
  'another payload under the signature': () => {
    const [header, , signature] = hs256().split('.');
    return [header, text(claims('ana', { exp: now() + 10_000 })), signature].join('.');
  },
  expired: () => hs256(claims('ana', { iat: now() - 7_200, exp: now() - 3_600 })),
  'not yet valid': () => hs256(claims('ana', { nbf: now() + 3_600 })),
  'no exp': () => hs256(without('exp')),
  'exp as text': () => hs256(claims('ana', { exp: `${now() + 600}` })),
  'exp below zero': () => hs256(claims('ana', { exp: -1 })),
  'no sub': () => hs256(without('sub')),
  'empty sub': () => hs256(claims('')),
  'sub with a line break': () => hs256(claims('a\nb')),
  'no aud': () => hs256(without('aud')),
  'wrong aud': () => hs256(claims('ana', { aud: 'elsewhere' })),
  'no iss': () => hs256(without('iss')),
  'wrong iss': () => hs256(claims('ana', { iss: 'https://elsewhere.example' })),
  'alg none': () => token({ alg: 'none' }, claims(), () => ''),
  'alg None': () => token({ alg: 'None' }, claims(), () => ''),
  'alg nOnE with a signature': () => token({ alg: 'nOnE' }, claims(), hmac(SECRET)),
  'no alg': () => token({ typ: 'JWT' }, claims(), hmac(SECRET)),
  'HS512 by the secret': () => token({ alg: 'HS512' }, claims(), hmac(SECRET, 'sha512')),
  'HS256 by the public key as a secret': () => token({ alg: 'HS256' }, claims(), hmac(rsaPem)),
  'HS256 by the public key, trimmed': () => token({ alg: 'HS256' }, claims(), hmac(rsaPem.trim())),
  'RS256 by the secret': () => token({ alg: 'RS256' }, claims(), hmac(SECRET)),
  'RS256 by a foreign key': () => token({ alg: 'RS256' }, claims(), rsa(foreignRsa.privateKey)),
  'RS384 by the right key': () => token({ alg: 'RS384' }, claims(), rsa(rsaKey.privateKey, 'sha384')),
  'ES256 by a foreign key under a known kid': () => token({ alg: 'ES256', kid: 'ec' }, claims(), ec(foreignEc.privateKey)),
  'ES256 under an unknown kid': () => token({ alg: 'ES256', kid: 'unknown' }, claims(), ec(ecKey.privateKey)),
  'ES256 under the kid of another key': () => token({ alg: 'ES256', kid: 'ed' }, claims(), ec(ecKey.privateKey)),
  'HS256 by a public key of the JWKS': () =>
    token({ alg: 'HS256', kid: 'ec' }, claims(), hmac(ecKey.publicKey.export({ type: 'spki', format: 'pem' }))),
  'a key that the token brings along': () =>
    token({ alg: 'ES256', jwk: foreignEc.publicKey.export({ format: 'jwk' }) }, claims(), ec(foreignEc.privateKey)),
  'a critical extension that nobody knows': () => token({ alg: 'HS256', crit: ['x'], x: 1 }, claims(), hmac(SECRET)),
};

/** What the JWKS serves. */
export const jwks = () => ({
  keys: [
    { ...ecKey.publicKey.export({ format: 'jwk' }), kid: 'ec', alg: 'ES256', use: 'sig' },
    { ...edKey.publicKey.export({ format: 'jwk' }), kid: 'ed', alg: 'EdDSA', use: 'sig' },
  ],
});
