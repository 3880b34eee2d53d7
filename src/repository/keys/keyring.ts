import { derive, boxPair, signingPair } from '../format/crypto.ts';
import type { KeyPair } from '../format/crypto.ts';
import { toHex } from '../../core/bytes.ts';
import type { RandomBytes } from '../../core/run.ts';
import type { CredentialRole } from '../format/certificate.ts';
import { encodeJson, JsonFields, toBase64 } from '../format/json.ts';

export type KeyringRole = 'owner' | 'reader' | 'maintainer';

/** Roles that a key slot may carry. */
export type SlotRole = 'all' | 'reader' | 'maintainer';

/** What a passphrase opens: the secrets of its roles. The root key is public and pins the repository's header. */
export type Keyring = {
  readonly repository: string;
  readonly rootKey: Uint8Array;
  readonly owner?:
    | { readonly root: KeyPair; readonly rootSeed: Uint8Array; readonly derivationKey: Uint8Array }
    | undefined;
  readonly content?: { readonly pair: KeyPair; readonly seed: Uint8Array } | undefined;
  readonly maintenance?: { readonly pair: KeyPair; readonly seed: Uint8Array } | undefined;
};

/** The keys of a new repository. */
export function createKeyring(random: RandomBytes): Keyring {
  const rootSeed = random(32);
  const root = signingPair(rootSeed);
  const contentSeed = random(32);
  const maintenanceSeed = random(32);
  return {
    repository: toHex(random(16)),
    rootKey: root.publicKey,
    owner: { root, rootSeed, derivationKey: random(32) },
    content: { pair: boxPair(contentSeed), seed: contentSeed },
    maintenance: { pair: boxPair(maintenanceSeed), seed: maintenanceSeed },
  };
}

/** The part of a keyring that a role may know. */
export function narrowKeyring(keyring: Keyring, role: SlotRole): Keyring {
  if (role === 'all') return keyring;
  const { repository, rootKey, content, maintenance } = keyring;
  return role === 'reader' ? { repository, rootKey, content, maintenance } : { repository, rootKey, maintenance };
}

export function writeKeyring(keyring: Keyring): Uint8Array {
  const { owner, content, maintenance } = keyring;
  const roles: KeyringRole[] = [];
  if (owner !== undefined) roles.push('owner');
  if (content !== undefined) roles.push('reader');
  if (maintenance !== undefined) roles.push('maintainer');
  return encodeJson({
    repository: keyring.repository,
    rootKey: toBase64(keyring.rootKey),
    roles,
    ...(owner && { rootSeed: toBase64(owner.rootSeed), derivationKey: toBase64(owner.derivationKey) }),
    ...(content && { contentSeed: toBase64(content.seed) }),
    ...(maintenance && { maintenanceSeed: toBase64(maintenance.seed) }),
  });
}

/** @throws REPOSITORY_DAMAGED */
export function readKeyring(bytes: Uint8Array, what: string): Keyring {
  const fields = JsonFields.parse(bytes, what);
  const seed = (key: string) => (fields.has(key) ? fields.base64(key, 32) : undefined);
  const rootSeed = seed('rootSeed');
  const contentSeed = seed('contentSeed');
  const maintenanceSeed = seed('maintenanceSeed');
  return {
    repository: fields.hex('repository', 16),
    rootKey: fields.base64('rootKey', 32),
    owner:
      rootSeed === undefined
        ? undefined
        : { root: signingPair(rootSeed), rootSeed, derivationKey: fields.base64('derivationKey', 32) },
    content: contentSeed && { pair: boxPair(contentSeed), seed: contentSeed },
    maintenance: maintenanceSeed && { pair: boxPair(maintenanceSeed), seed: maintenanceSeed },
  };
}

/** The seeds of the credential of that role and name: always the same for one repository. */
export function deriveCredential(derivationKey: Uint8Array, role: CredentialRole, name: string) {
  const id = derive(derivationKey, undefined, `tidemark credential id\n${role}\n${name}`, 16);
  return {
    id: toHex(id),
    signingSeed: derive(derivationKey, id, 'tidemark signing seed', 32),
    idKey: derive(derivationKey, id, 'tidemark id key', 32),
  };
}

/** What a writer derives from its id key. */
export type WriterKeys = {
  readonly idKey: Uint8Array;
  readonly chunkKey: Uint8Array;
  readonly nodeKey: Uint8Array;
  readonly gear: Uint32Array;
};

export function writerKeys(idKey: Uint8Array): WriterKeys {
  const gear = new DataView(Uint8Array.from(derive(idKey, undefined, 'tidemark gear', 1024)).buffer);
  return {
    idKey,
    chunkKey: derive(idKey, undefined, 'tidemark chunk id', 32),
    nodeKey: derive(idKey, undefined, 'tidemark node id', 32),
    gear: Uint32Array.from({ length: 256 }, (_, index) => gear.getUint32(index * 4, true)),
  };
}
