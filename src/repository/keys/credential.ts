import { TidemarkError } from '../../core/errors.ts';
import type { RandomBytes } from '../../core/run.ts';
import { closeIdKey, writeCertificate } from '../format/certificate.ts';
import type { CredentialRole } from '../format/certificate.ts';
import { boxPair, signingPair } from '../format/crypto.ts';
import type { KeyPair } from '../format/crypto.ts';
import type { RepositoryHeader } from '../format/header.ts';
import { encodeJson, JsonFields, toBase64 } from '../format/json.ts';
import { deriveCredential, writerKeys } from './keyring.ts';
import type { Keyring, WriterKeys } from './keyring.ts';

const FORMAT = 'tidemark credential';

type CredentialBase = {
  readonly repository: string;
  readonly rootKey: Uint8Array;
  readonly id: string;
  readonly name: string;
  readonly signing: KeyPair;
  readonly signingSeed: Uint8Array;
};

/** Adds and deduplicates against what it wrote itself; can't read, nor write as another. */
export type WriterCredential = CredentialBase & { readonly role: 'writer'; readonly keys: WriterKeys };

/** Reads what manifests and marks say of themselves; may delete. */
export type MaintainerCredential = CredentialBase & {
  readonly role: 'maintainer';
  readonly maintenance: KeyPair;
  readonly maintenanceSeed: Uint8Array;
};

export type Credential = WriterCredential | MaintainerCredential;

function need<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new TidemarkError('KEY_MISSING', `this key does not hold ${what}`);
  return value;
}

/**
 * The credential of that role and name, and the bytes of its certificate for `credentials/ID`. Derived, so that calling it again
 * yields the same credential. @throws KEY_MISSING without the owner's part of the keyring
 */
export function issueCredential(options: {
  keyring: Keyring;
  header: RepositoryHeader;
  role: CredentialRole;
  name: string;
  stores: readonly string[];
  createdAtMs: number;
  random: RandomBytes;
}): { readonly credential: Credential; readonly certificate: Uint8Array } {
  const { keyring, header, role, name } = options;
  const owner = need(keyring.owner, 'the right to issue credentials');
  const { id, signingSeed, idKey } = deriveCredential(owner.derivationKey, role, name);
  const signing = signingPair(signingSeed);
  const base = { repository: keyring.repository, rootKey: keyring.rootKey, id, name, signing, signingSeed };
  const certificate = writeCertificate(
    {
      id,
      repository: keyring.repository,
      role,
      name,
      stores: options.stores,
      signingKey: signing.publicKey,
      idKeyBox:
        role === 'writer'
          ? closeIdKey({ contentKey: header.contentKey, id, idKey, ephemeralSeed: options.random(32) })
          : undefined,
      createdAtMs: options.createdAtMs,
    },
    owner.root,
  );
  if (role === 'writer') return { credential: { ...base, role, keys: writerKeys(idKey) }, certificate };
  const maintenance = need(keyring.maintenance, 'the maintenance key');
  return {
    credential: { ...base, role, maintenance: maintenance.pair, maintenanceSeed: maintenance.seed },
    certificate,
  };
}

/** The credential as a file for a host. It holds secrets. */
export function writeCredential(credential: Credential): Uint8Array {
  return encodeJson({
    format: FORMAT,
    version: 0,
    repository: credential.repository,
    rootKey: toBase64(credential.rootKey),
    id: credential.id,
    role: credential.role,
    name: credential.name,
    signingSeed: toBase64(credential.signingSeed),
    ...(credential.role === 'writer'
      ? { idKey: toBase64(credential.keys.idKey) }
      : { maintenanceSeed: toBase64(credential.maintenanceSeed) }),
  });
}

/** @throws REPOSITORY_DAMAGED naming the file */
export function readCredential(bytes: Uint8Array, what: string): Credential {
  const fields = JsonFields.parse(bytes, what);
  fields.oneOf('format', [FORMAT]);
  if (fields.count('version') > 0) throw new TidemarkError('REPOSITORY_NEWER', `${what} is of a newer version`);
  const role = fields.oneOf('role', ['writer', 'maintainer']);
  const signingSeed = fields.base64('signingSeed', 32);
  const base = {
    repository: fields.hex('repository', 16),
    rootKey: fields.base64('rootKey', 32),
    id: fields.hex('id', 16),
    name: fields.text('name'),
    signing: signingPair(signingSeed),
    signingSeed,
  };
  if (role === 'writer') return { ...base, role, keys: writerKeys(fields.base64('idKey', 32)) };
  const maintenanceSeed = fields.base64('maintenanceSeed', 32);
  return { ...base, role, maintenance: boxPair(maintenanceSeed), maintenanceSeed };
}
