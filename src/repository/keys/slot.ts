import { argon2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { TidemarkError, isTidemarkError } from '../../core/errors.ts';
import { damaged } from '../format/byte-cursor.ts';
import { seal, unseal } from '../format/crypto.ts';
import { encodeJson, JsonFields, toBase64 } from '../format/json.ts';
import { narrowKeyring, readKeyring, writeKeyring } from './keyring.ts';
import type { Keyring, SlotRole } from './keyring.ts';

const argon2id = promisify(argon2);

/** The cost of turning a passphrase into a key. */
export type KdfCost = { readonly memoryKiB: number; readonly passes: number; readonly parallelism: number };

/** Argon2 can’t be computed with less memory. */
const LEAST_KIB_PER_LANE = 8;

/** About 0.15 s and 64 MiB on a small server. */
export const DEFAULT_KDF_COST: KdfCost = { memoryKiB: 65_536, passes: 3, parallelism: 4 };

export type SlotInfo = {
  readonly id: string;
  readonly kind: 'passphrase';
  readonly role: SlotRole;
  readonly name: string;
  readonly createdAtMs: number;
};

/** A slot as it lies there. Nothing proves what it says before it is opened. */
export type Slot = SlotInfo & {
  readonly cost: KdfCost;
  readonly salt: Uint8Array;
  readonly nonce: Uint8Array;
  readonly sealed: Uint8Array;
};

export function slotKey(id: string): string {
  return `keys/${id}`;
}

async function stretch(passphrase: string, salt: Uint8Array, cost: KdfCost): Promise<Uint8Array> {
  return argon2id('argon2id', {
    message: Buffer.from(passphrase.normalize('NFC'), 'utf8'),
    nonce: salt,
    memory: cost.memoryKiB,
    passes: cost.passes,
    parallelism: cost.parallelism,
    tagLength: 32,
  });
}

function slotAad(repository: string, id: string, role: SlotRole): Uint8Array {
  return Buffer.from(`tidemark key slot\n${repository}\n${id}\n${role}`);
}

/** Puts the part of the keyring that `info.role` may know under a passphrase. Returns the bytes of `keys/SLOT`. */
export async function writeSlot(options: {
  keyring: Keyring;
  info: Omit<SlotInfo, 'kind'>;
  passphrase: string;
  cost: KdfCost;
}): Promise<Uint8Array> {
  const { info, cost } = options;
  const salt = randomBytes(16);
  const nonce = randomBytes(12);
  const sealed = seal({
    key: await stretch(options.passphrase, salt, cost),
    nonce,
    aad: slotAad(options.keyring.repository, info.id, info.role),
    plain: writeKeyring(narrowKeyring(options.keyring, info.role)),
  });
  return encodeJson({
    version: 0,
    id: info.id,
    kind: 'passphrase',
    role: info.role,
    name: info.name,
    createdAtMs: info.createdAtMs,
    kdf: { name: 'argon2id', ...cost, salt: toBase64(salt) },
    nonce: toBase64(nonce),
    sealed: toBase64(sealed),
  });
}

/** @throws REPOSITORY_DAMAGED, also when its derivation could not be computed; REPOSITORY_NEWER */
export function readSlot(bytes: Uint8Array, key: string): Slot {
  const fields = JsonFields.parse(bytes, key);
  const version = fields.count('version');
  if (version > 0) {
    throw new TidemarkError('REPOSITORY_NEWER', `${key} is of version ${version}; this Tidemark knows 0`);
  }
  const kdf = fields.object('kdf');
  kdf.oneOf('name', ['argon2id']);
  const id = fields.hex('id', 16);
  if (slotKey(id) !== key) throw damaged(key, 'it belongs elsewhere');
  return {
    id,
    kind: fields.oneOf('kind', ['passphrase']),
    role: fields.oneOf('role', ['all', 'reader', 'maintainer']),
    name: fields.text('name'),
    createdAtMs: fields.number('createdAtMs'),
    cost: readCost(kdf, key),
    salt: kdf.base64('salt', 16),
    nonce: fields.base64('nonce', 12),
    sealed: fields.base64('sealed'),
  };
}

function readCost(kdf: JsonFields, key: string): KdfCost {
  const memoryKiB = kdf.count('memoryKiB', 2_097_152);
  const passes = kdf.count('passes', 64);
  const parallelism = kdf.count('parallelism', 64);
  const isComputable = passes > 0 && parallelism > 0 && memoryKiB >= LEAST_KIB_PER_LANE * parallelism;
  if (!isComputable) throw damaged(key, 'its key derivation is not allowed');
  return { memoryKiB, passes, parallelism };
}

/** The keyring under this slot, or undefined when the passphrase is another one's. @throws REPOSITORY_DAMAGED */
export async function openSlot(
  slot: Slot,
  options: { readonly repository: string; readonly passphrase: string },
): Promise<Keyring | undefined> {
  const what = slotKey(slot.id);
  const key = await stretch(options.passphrase, slot.salt, slot.cost);
  const aad = slotAad(options.repository, slot.id, slot.role);
  try {
    return readKeyring(unseal({ key, nonce: slot.nonce, aad, sealed: slot.sealed, what }), what);
  } catch (error) {
    // A seal that does not fit is what a wrong passphrase looks like.
    if (isTidemarkError(error, 'REPOSITORY_DAMAGED')) return undefined;
    throw error;
  }
}
