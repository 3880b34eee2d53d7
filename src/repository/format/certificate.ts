import { fromHex } from '../../core/bytes.ts';
import { damaged } from './byte-cursor.ts';
import { openableBy, openBox, signParts, verifyParts } from './crypto.ts';
import type { KeyPair } from './crypto.ts';
import { encodeJson, JsonFields, toBase64 } from './json.ts';
import type { RecordKind } from './names.ts';

const CONTEXT = 'tidemark certificate\n';
const ID_KEY_INFO = 'id key';

export type CredentialRole = 'writer' | 'maintainer';

/** The root's word on a credential: which key signs for it, and what it may write. */
export type Certificate = {
  readonly id: string;
  readonly repository: string;
  readonly role: CredentialRole;
  readonly name: string;
  /** Stores that a writer may write; `*` is all. */
  readonly stores: readonly string[];
  readonly signingKey: Uint8Array;
  /** A writer's id key, for readers. */
  readonly idKeyBox: Uint8Array | undefined;
  readonly createdAtMs: number;
};

const writableKinds: Readonly<Record<CredentialRole, ReadonlySet<RecordKind>>> = {
  writer: new Set<RecordKind>(['start', 'beat', 'end', 'manifest', 'journal', 'void', 'run']),
  maintainer: new Set<RecordKind>(['start', 'beat', 'end', 'pin', 'unpin', 'proof', 'run', 'ledger', 'condemned']),
};

export function mayWrite(certificate: Certificate, kind: RecordKind): boolean {
  return writableKinds[certificate.role].has(kind);
}

export function coversStore(certificate: Certificate, store: string): boolean {
  return certificate.stores.includes('*') || certificate.stores.includes(store);
}

function certificateFields(certificate: Certificate) {
  return {
    version: 0,
    id: certificate.id,
    repository: certificate.repository,
    role: certificate.role,
    name: certificate.name,
    stores: certificate.stores,
    signingKey: toBase64(certificate.signingKey),
    ...(certificate.idKeyBox === undefined ? {} : { idKeyBox: toBase64(certificate.idKeyBox) }),
    createdAtMs: certificate.createdAtMs,
  };
}

export function writeCertificate(certificate: Certificate, root: KeyPair): Uint8Array {
  const fields = certificateFields(certificate);
  return encodeJson({ ...fields, signature: toBase64(signParts(root, CONTEXT, [encodeJson(fields)])) });
}

/** @throws REPOSITORY_DAMAGED, also when the root did not sign it for this repository and place */
export function readCertificate(
  bytes: Uint8Array,
  expected: { key: string; repository: string; rootKey: Uint8Array },
): Certificate {
  const what = expected.key;
  const fields = JsonFields.parse(bytes, what);
  const certificate: Certificate = {
    id: fields.hex('id', 16),
    repository: fields.hex('repository', 16),
    role: fields.oneOf('role', ['writer', 'maintainer']),
    name: fields.text('name'),
    stores: fields.texts('stores'),
    signingKey: fields.base64('signingKey', 32),
    idKeyBox: fields.has('idKeyBox') ? fields.base64('idKeyBox') : undefined,
    createdAtMs: fields.number('createdAtMs'),
  };
  if (certificateKey(certificate.id) !== what || certificate.repository !== expected.repository) {
    throw damaged(what, 'it belongs elsewhere');
  }
  const signed = encodeJson(certificateFields(certificate));
  if (!verifyParts(expected.rootKey, CONTEXT, [signed], fields.base64('signature', 64))) {
    throw damaged(what, 'its signature does not fit');
  }
  return certificate;
}

export function certificateKey(id: string): string {
  return `credentials/${id}`;
}

export function closeIdKey(options: {
  contentKey: Uint8Array;
  id: string;
  idKey: Uint8Array;
  ephemeralSeed: Uint8Array;
}): Uint8Array {
  return openableBy({
    publicKey: options.contentKey,
    info: ID_KEY_INFO,
    aad: fromHex(options.id),
    plain: [options.idKey],
    ephemeralSeed: options.ephemeralSeed,
  });
}

/** A writer's id key, with the reader's content key. @throws REPOSITORY_DAMAGED */
export function openIdKey(certificate: Certificate, content: KeyPair): Uint8Array {
  const what = certificateKey(certificate.id);
  if (certificate.idKeyBox === undefined) throw damaged(what, 'it has no id key');
  return openBox({ pair: content, info: ID_KEY_INFO, aad: fromHex(certificate.id), box: certificate.idKeyBox, what });
}
