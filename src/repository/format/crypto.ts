import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  hkdfSync,
  sign,
  verify,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { release } from '../../core/bytes.ts';
import { damaged } from './byte-cursor.ts';

const ZERO_NONCE = Buffer.alloc(12);
const TAG_BYTES = 16;
const KEY_BYTES = 32;

/** A private key with its public half as 32 raw bytes. */
export type KeyPair = { readonly privateKey: KeyObject; readonly publicKey: Uint8Array };

type Curve = 'ed25519' | 'x25519';

function pairOf(curve: Curve, seed: Uint8Array): KeyPair {
  const key = Buffer.from(seed);
  const privateKey = createPrivateKey({ key, format: 'raw-private', asymmetricKeyType: curve });
  return { privateKey, publicKey: createPublicKey(privateKey).export({ format: 'raw-public' }) };
}

/** Keys that were parsed before, by the bytes object, which nobody changes: a repository's own are used again and again. */
const parsedKeys = new WeakMap<Uint8Array, KeyObject>();

function publicKeyOf(curve: Curve, raw: Uint8Array): KeyObject {
  const known = parsedKeys.get(raw);
  if (known !== undefined) return known;
  const parsed = createPublicKey({ key: Buffer.from(raw), format: 'raw-public', asymmetricKeyType: curve });
  parsedKeys.set(raw, parsed);
  return parsed;
}

export function signingPair(seed: Uint8Array): KeyPair {
  return pairOf('ed25519', seed);
}

export function boxPair(seed: Uint8Array): KeyPair {
  return pairOf('x25519', seed);
}

/** Ed25519 over `text(context) || parts`. */
export function signParts(pair: KeyPair, context: string, parts: readonly Uint8Array[]): Uint8Array {
  return sign(null, Buffer.concat([Buffer.from(context), ...parts]), pair.privateKey);
}

export function verifyParts(
  publicKey: Uint8Array,
  context: string,
  parts: readonly Uint8Array[],
  signature: Uint8Array,
): boolean {
  if (publicKey.byteLength !== KEY_BYTES || signature.byteLength !== 64) return false;
  return verify(null, Buffer.concat([Buffer.from(context), ...parts]), publicKeyOf('ed25519', publicKey), signature);
}

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** HKDF-SHA-256 (RFC 5869). */
export function derive(key: Uint8Array, salt: Uint8Array | undefined, info: string, sizeBytes: number): Uint8Array {
  // Here and below: with a key that is bytes Node takes several times as long as with an object.
  return new Uint8Array(hkdfSync('sha256', createSecretKey(key), salt ?? new Uint8Array(0), info, sizeBytes));
}

/** What is ciphered at once: its result is copied while the processor's cache holds it, and its memory is used for the next. */
const PIECE_BYTES = 128 * 1024;

type SealOptions = { readonly key: Uint8Array; readonly nonce?: Uint8Array; readonly aad: Uint8Array };

/**
 * AES-256-GCM: writes the ciphertext of `plain`, whose parts are one after another, and the tag to the start of `into`; returns their size. The same
 * key and nonce never seal twice.
 */
export function sealInto(into: Uint8Array, plain: readonly Uint8Array[], options: SealOptions): number {
  const { key, nonce = ZERO_NONCE, aad } = options;
  const cipher = createCipheriv('aes-256-gcm', createSecretKey(key), nonce);
  cipher.setAAD(aad);
  let size = 0;
  for (const part of plain) {
    for (let at = 0; at < part.byteLength; at += PIECE_BYTES) {
      const sealed = cipher.update(part.subarray(at, at + PIECE_BYTES));
      into.set(sealed, size);
      size += sealed.byteLength;
      release(sealed);
    }
  }
  cipher.final();
  into.set(cipher.getAuthTag(), size);
  return size + TAG_BYTES;
}

/** As `sealInto`, in memory of its own. */
export function seal(options: SealOptions & { readonly plain: Uint8Array }): Buffer<ArrayBuffer> {
  const sealed = Buffer.allocUnsafe(options.plain.byteLength + TAG_BYTES);
  sealInto(sealed, [options.plain], options);
  return sealed;
}

/** @throws REPOSITORY_DAMAGED naming `what` when the tag does not fit. */
export function unseal(options: {
  key: Uint8Array;
  nonce?: Uint8Array;
  aad: Uint8Array;
  sealed: Uint8Array;
  what: string;
}): Uint8Array {
  const { sealed, what } = options;
  if (sealed.byteLength < TAG_BYTES) throw damaged(what, 'it is too short');
  const decipher = createDecipheriv('aes-256-gcm', createSecretKey(options.key), options.nonce ?? ZERO_NONCE);
  decipher.setAAD(options.aad);
  decipher.setAuthTag(sealed.subarray(sealed.byteLength - TAG_BYTES));
  const plain = decipher.update(sealed.subarray(0, sealed.byteLength - TAG_BYTES));
  try {
    decipher.final();
  } catch (cause) {
    throw damaged(what, 'its seal does not fit', cause);
  }
  return plain;
}

/** What a sealed box adds to its plain. */
export const BOX_OVERHEAD_BYTES = KEY_BYTES + TAG_BYTES;

/** Hides `plain` from all but the owner of `publicKey`; its parts are one after another. `ephemeralSeed`: 32 fresh random bytes. `before`: what the box lies behind in the result. */
export function openableBy(options: {
  publicKey: Uint8Array;
  info: string;
  aad: Uint8Array;
  plain: readonly Uint8Array[];
  ephemeralSeed: Uint8Array;
  before?: Uint8Array;
}): Buffer<ArrayBuffer> {
  const ephemeral = boxPair(options.ephemeralSeed);
  const key = boxKey(ephemeral.privateKey, options.publicKey, ephemeral.publicKey, options);
  const { before = new Uint8Array(0), plain, aad } = options;
  const plainBytes = plain.reduce((sum, part) => sum + part.byteLength, 0);
  const box = Buffer.allocUnsafe(before.byteLength + BOX_OVERHEAD_BYTES + plainBytes);
  box.set(before);
  box.set(ephemeral.publicKey, before.byteLength);
  sealInto(box.subarray(before.byteLength + KEY_BYTES), plain, { key, aad });
  return box;
}

/** The inverse of `openableBy`. @throws REPOSITORY_DAMAGED naming `what`. */
export function openBox(options: {
  pair: KeyPair;
  info: string;
  aad: Uint8Array;
  box: Uint8Array;
  what: string;
}): Uint8Array {
  const { box, pair, what } = options;
  if (box.byteLength < BOX_OVERHEAD_BYTES) throw damaged(what, 'it is too short');
  const ephemeral = box.subarray(0, KEY_BYTES);
  let key: Uint8Array;
  try {
    key = boxKey(pair.privateKey, ephemeral, ephemeral, { publicKey: pair.publicKey, info: options.info });
  } catch (cause) {
    throw damaged(what, 'its key does not fit', cause);
  }
  return unseal({ key, aad: options.aad, sealed: box.subarray(KEY_BYTES), what });
}

function boxKey(
  privateKey: KeyObject,
  peer: Uint8Array,
  ephemeral: Uint8Array,
  { publicKey, info }: { publicKey: Uint8Array; info: string },
): Uint8Array {
  const shared = diffieHellman({ privateKey, publicKey: publicKeyOf('x25519', peer) });
  return derive(shared, Buffer.concat([ephemeral, publicKey]), `tidemark box ${info}`, KEY_BYTES);
}
