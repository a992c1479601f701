// Verifies Transparent Statements without any code of the service.
// See README.md for what is proven.
//
//   node verify.mjs KEYS.cbor TRANSPARENT.cose...
//
// Exit code: 0 everything verifies, 1 something does not, 2 usage or unreadable input.

import { createHash, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Algorithms, COSEKey, Sign1 } from '@auth0/cose';
import { Tag, decode, encode } from 'cbor2';

// Labels of header parameters (RFC 9052, 9597, 9942), CWT claims (RFC 8392)
// and COSE_Key parameters (RFC 9052 section 7, RFC 9053 section 7.1.1).
const ALG = 1, CRIT = 2, KID = 4, CLAIMS = 15, RECEIPTS = 394, VDS = 395, VDP = 396;
const ISS = 1, SUB = 2;
const KEY = { kty: 1, kid: 2, alg: 3, crv: -1, x: -2, y: -3 };
const EC2 = 2, P256 = 1;
// What a did:jwk must hold for a statement's algorithm (RFC 9053, RFC 8230). Receipts are ES256.
const KEY_OF = new Map([
  [Algorithms.ES256, { kty: 'EC', crv: 'P-256' }], [Algorithms.ES384, { kty: 'EC', crv: 'P-384' }], [Algorithms.ES512, { kty: 'EC', crv: 'P-521' }],
  [Algorithms.EdDSA, { kty: 'OKP', crv: 'Ed25519' }],
  [Algorithms.PS256, { kty: 'RSA' }], [Algorithms.PS384, { kty: 'RSA' }], [Algorithms.PS512, { kty: 'RSA' }],
]);
const RFC9162_SHA256 = 1, INCLUSION = -1;

// Two decoders read the same bytes here, cbor2 and the one in @auth0/cose, so
// nothing may pass that they could read differently.
const strict = {
  rejectDuplicateKeys: true, rejectStreaming: true, preferMap: true, ignoreGlobalTags: true,
};

const isBytes = (v) => v instanceof Uint8Array;
// A plain array, because cbor2 writes a Buffer as a map.
const read = (file) => new Uint8Array(readFileSync(file));
const hex = (b) => Buffer.from(b).toString('hex');
const sha256 = (...parts) => createHash('sha256').update(Buffer.concat(parts)).digest();

function check(ok, problem) {
  if (!ok) throw new Error(problem);
}

// parseSign1 reads a tagged COSE_Sign1 with what RFC 9943 asks of Signed
// Statements and Receipts alike: alg and the CWT Claims iss and sub, protected.
function parseSign1(encoded, algorithms) {
  const tagged = decode(encoded, strict);
  check(tagged instanceof Tag && tagged.tag === Sign1.tag, 'not a COSE_Sign1 with tag 18');
  check(Array.isArray(tagged.contents) && tagged.contents.length === 4, 'not an array of four');
  const [protectedBytes, unprotected, payload, signature] = tagged.contents;
  check(isBytes(protectedBytes), 'the protected header is not a byte string');
  check(unprotected instanceof Map, 'the unprotected header is not a map');
  check(isBytes(signature), 'the signature is not a byte string');
  const header = decode(protectedBytes, strict);
  check(header instanceof Map, 'the protected header is not a map');
  check(!header.has(CRIT), 'a critical header parameter is not understood');
  check(algorithms.includes(header.get(ALG)), `alg is ${header.get(ALG)}, not one of ${algorithms}`);
  const claims = header.get(CLAIMS);
  check(claims instanceof Map, 'no CWT Claims (15) in the protected header');
  check(typeof claims.get(ISS) === 'string', 'no CWT claim iss (1)');
  check(typeof claims.get(SUB) === 'string', 'no CWT claim sub (2)');
  return { encoded, protectedBytes, header, claims, unprotected, payload, signature };
}

// verifySignature checks the COSE_Sign1 as it was received (RFC 9052 section 4.4).
async function verifySignature(m, key, detachedPayload) {
  await Sign1.decode(m.encoded).verify(key, { algorithms: [m.header.get(ALG)], detachedPayload });
}

// logKeys reads a COSE Key Set (RFC 9052 section 7) into a map from kid in
// hex to key. Keys that are not for ES256 are ignored.
async function logKeys(data) {
  const set = decode(data, strict);
  check(Array.isArray(set), 'not a COSE Key Set');
  const keys = new Map();
  for (const k of set) {
    if (k instanceof Map && k.get(KEY.kty) === EC2 && k.get(KEY.crv) === P256 &&
        [undefined, Algorithms.ES256].includes(k.get(KEY.alg)) &&
        [KEY.kid, KEY.x, KEY.y].every((label) => isBytes(k.get(label)))) {
      // Only the public part, whatever else the set holds.
      const point = [KEY.kty, KEY.crv, KEY.x, KEY.y].map((label) => [label, k.get(label)]);
      const key = COSEKey.import(new Map([...point, [KEY.alg, Algorithms.ES256]]));
      keys.set(hex(k.get(KEY.kid)), await key.toKeyLike());
    }
  }
  check(keys.size > 0, 'the COSE Key Set has no key for ES256');
  return keys;
}

// issuerKey is the key inside a did:jwk, for an algorithm.
async function issuerKey(issuer, alg) {
  check(issuer.startsWith('did:jwk:'), 'the issuer is not a did:jwk');
  const { kty, crv, x, y, n, e } = JSON.parse(Buffer.from(issuer.slice('did:jwk:'.length), 'base64url'));
  const want = KEY_OF.get(alg);
  check(kty === want.kty && crv === want.crv, `the issuer's key is not for the algorithm ${alg}`);
  return createPublicKey({ key: { kty, crv, x, y, n, e }, format: 'jwk' });
}

// entryOf is what the log stores: the statement with an empty unprotected
// header (RFC 9943 section 6.3), in the shortest encoding.
function entryOf(statement) {
  const { protectedBytes, payload, signature } = statement;
  return encode(new Tag(Sign1.tag, [protectedBytes, new Map(), payload, signature]));
}

// entryId is SHA-256 of what the issuer signed: the Sig_structure (RFC 9052
// section 4.4), which holds no signature.
function entryId({ protectedBytes, payload }) {
  return sha256(encode(['Signature1', protectedBytes, new Uint8Array(), payload]));
}

// rootOf walks an inclusion proof (RFC 9162 section 2.1.3.2) from a leaf hash
// to the root. Index and size are BigInts.
function rootOf(leafHash, { index, size, path }) {
  check(index < size, `leaf ${index} is not in a tree of ${size} leaves`);
  let fn = index, sn = size - 1n, r = leafHash;
  for (const p of path) {
    check(sn !== 0n, 'the inclusion path is too long');
    if ((fn & 1n) === 1n || fn === sn) {
      r = sha256(Buffer.of(1), p, r);
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      r = sha256(Buffer.of(1), r, p);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  check(sn === 0n, 'the inclusion path is too short');
  return r;
}

// parseProof reads "[tree-size: uint, leaf-index: uint, inclusion-path: [+ bstr]]"
// (RFC 9942 section 5.2).
function parseProof(encoded) {
  check(isBytes(encoded), 'an inclusion proof is not a byte string');
  const proof = decode(encoded, { ...strict, preferBigInt: true });
  check(Array.isArray(proof) && proof.length === 3, 'an inclusion proof is not an array of three');
  const [size, index, path] = proof;
  check([size, index].every((n) => typeof n === 'bigint' && n >= 0n && n < 1n << 64n),
    'tree size or leaf index is not an unsigned integer');
  check(Array.isArray(path) && path.length > 0, 'the inclusion path is empty');
  check(path.every((p) => isBytes(p) && p.length === 32), 'the inclusion path holds something that is no SHA-256');
  return { size, index, path };
}

// verifyReceipt checks one Receipt (RFC 9942 section 4) and gives its proofs.
async function verifyReceipt(encoded, leafHash, keys) {
  const receipt = parseSign1(encoded, [Algorithms.ES256]);
  check(receipt.header.get(VDS) === RFC9162_SHA256,
    `the verifiable data structure (395) is ${receipt.header.get(VDS)}, not RFC9162_SHA256 (1)`);
  check(receipt.payload === null, 'the payload is not detached');
  const kid = receipt.header.get(KID);
  check(isBytes(kid), 'no kid (4) in the protected header');
  const key = keys.get(hex(kid));
  check(key, `no ES256 key with kid ${hex(kid)}`);
  const encodedProofs = receipt.unprotected.get(VDP)?.get?.(INCLUSION);
  check(Array.isArray(encodedProofs) && encodedProofs.length > 0, 'no inclusion proof (396, -1)');
  const proofs = encodedProofs.map(parseProof);
  for (const proof of proofs) {
    await verifySignature(receipt, key, rootOf(leafHash, proof));
  }
  return proofs;
}

// verifyTransparent checks a Transparent Statement: the issuer's signature and
// every Receipt in it. It gives the problems, and the line to print without any.
async function verifyTransparent(data, keys) {
  const problems = [];
  const attempt = async (what, f) => {
    try {
      return await f();
    } catch (err) {
      problems.push(`${what}: ${err.message}`);
    }
  };
  const statement = await attempt('statement', () => parseSign1(data, [...KEY_OF.keys()]));
  if (!statement) return { problems };
  await attempt('statement', async () => {
    check(isBytes(statement.payload), 'the payload is missing');
    await verifySignature(statement, await issuerKey(statement.claims.get(ISS), statement.header.get(ALG)));
  });
  const entry = entryOf(statement);
  const leafHash = sha256(Buffer.of(0), entry); // RFC 9162 section 2.1.1
  const receipts = statement.unprotected.get(RECEIPTS);
  if (!Array.isArray(receipts) || receipts.length === 0) problems.push('there is no receipt (394)');
  const leaves = [];
  for (const [i, r] of (Array.isArray(receipts) ? receipts : []).entries()) {
    await attempt(`receipt ${i + 1}`, async () => {
      check(isBytes(r), 'not a byte string');
      const proofs = await verifyReceipt(r, leafHash, keys);
      leaves.push(...proofs.map(({ index, size }) => `leaf ${index} of ${size}`));
    });
  }
  const subject = JSON.stringify(statement.claims.get(SUB));
  return { problems, summary: `entry ${hex(entryId(statement))}, subject ${subject}, ${leaves.join(', ')}` };
}

async function main([keysFile, ...files]) {
  if (!keysFile || files.length === 0) {
    console.error('usage: node verify.mjs KEYS.cbor TRANSPARENT.cose...');
    return 2;
  }
  let keys, statements;
  try {
    keys = await logKeys(read(keysFile));
    statements = files.map((name) => ({ name, data: read(name) }));
  } catch (err) {
    console.error(`verify: ${err.message}`);
    return 2;
  }
  let code = 0;
  for (const { name, data } of statements) {
    const { problems, summary } = await verifyTransparent(data, keys);
    if (problems.length > 0) code = 1;
    console.log(problems.length > 0 ? `bad ${name}: ${problems.join('; ')}` : `good ${name}: ${summary}`);
  }
  return code;
}

process.exitCode = await main(process.argv.slice(2));
