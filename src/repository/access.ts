import { must } from '../core/must.ts';
import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import type { Run, Runtime } from '../core/run.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { certificateKey, openIdKey, readCertificate } from './format/certificate.ts';
import type { Certificate, CredentialRole } from './format/certificate.ts';
import { equalBytes, toHex } from '../core/bytes.ts';
import { DEFAULT_CHUNKS, readHeader, writeHeader } from './format/header.ts';
import type { ChunkLimits, RepositoryHeader } from './format/header.ts';
import { sha256 } from './format/crypto.ts';
import { HEADER_KEY, isIdKey } from './format/names.ts';
import type { SectionAccess } from './format/record.ts';
import { issueCredential } from './keys/credential.ts';
import type { Credential, MaintainerCredential, WriterCredential } from './keys/credential.ts';
import { findKeyring, listSlotKeys, readIfSound } from './keys/find-keyring.ts';
import { createKeyring, writerKeys } from './keys/keyring.ts';
import type { Keyring, SlotRole, WriterKeys } from './keys/keyring.ts';
import { DEFAULT_KDF_COST, slotKey, writeSlot } from './keys/slot.ts';
import type { KdfCost, SlotInfo } from './keys/slot.ts';
import { readWhole } from './read-whole.ts';
import { KeptRecords } from './records/kept-records.ts';
import { RecordMemo } from './records/record-memo.ts';

/** 30 minutes; a writer that is silent for half of it can't commit what it began before. */
export const DEFAULT_LEASE_MS = 1_800_000;
const MAX_SMALL_OBJECT_BYTES = 1024 * 1024;

/** A repository whose header has been checked against a key. What can be done with it depends on which keys are there. */
export type RepositoryAccess = {
  readonly objects: ObjectStore;
  readonly header: RepositoryHeader;
  readonly runtime: Runtime;
  readonly memo: RecordMemo;
  /** What earlier runs read. Without it everything is read. */
  readonly kept?: KeptRecords | undefined;
  readonly keyring?: Keyring | undefined;
  readonly writer?: WriterCredential | undefined;
  readonly maintainer?: MaintainerCredential | undefined;
};

export type CreateOptions = {
  readonly passphrase: string;
  readonly slotName: string;
  readonly leaseMs?: number | undefined;
  readonly chunks?: ChunkLimits | undefined;
  readonly kdfCost?: KdfCost | undefined;
};

/** The header as it lies there, not yet compared with any key. @throws REPOSITORY_NOT_FOUND, REPOSITORY_NEWER, REPOSITORY_DAMAGED */
export async function peekHeader(objects: ObjectStore, run: Run): Promise<RepositoryHeader> {
  try {
    return readHeader(await readWhole(objects, HEADER_KEY, MAX_SMALL_OBJECT_BYTES, run), HEADER_KEY);
  } catch (error) {
    if (!isTidemarkError(error, 'OBJECT_NOT_FOUND')) throw error;
    throw new TidemarkError('REPOSITORY_NOT_FOUND', `no repository at ${objects.url}`, { cause: error });
  }
}

/** Makes a new repository in an empty object store: key slot first, header last. @throws OBJECT_EXISTS when one is there */
export async function createRepository(
  objects: ObjectStore,
  options: CreateOptions,
  runtime: Runtime,
  run: Run,
): Promise<RepositoryAccess> {
  const keyring = createKeyring(runtime.random);
  const owner = must(keyring.owner, 'a new keyring to be complete');
  const header: RepositoryHeader = {
    id: keyring.repository,
    createdAtMs: runtime.clock.nowMs(),
    rootKey: keyring.rootKey,
    contentKey: must(keyring.content, 'a new keyring to be complete').pair.publicKey,
    maintenanceKey: must(keyring.maintenance, 'a new keyring to be complete').pair.publicKey,
    leaseMs: options.leaseMs ?? DEFAULT_LEASE_MS,
    chunks: options.chunks ?? DEFAULT_CHUNKS,
  };
  const access: RepositoryAccess = { objects, header, runtime, memo: new RecordMemo(), keyring };
  await addPassphrase(
    access,
    { passphrase: options.passphrase, role: 'all', name: options.slotName, cost: options.kdfCost },
    run,
  );
  await objects.create(HEADER_KEY, [writeHeader(header, owner.root)], run);
  return access;
}

/** Opens with a passphrase. @throws KEY_REFUSED, REPOSITORY_NOT_FOUND, REPOSITORY_NEWER, REPOSITORY_DAMAGED */
export async function openWithPassphrase(
  objects: ObjectStore,
  passphrase: string,
  runtime: Runtime,
  run: Run,
): Promise<RepositoryAccess> {
  const header = await peekHeader(objects, run);
  const { keyring, damagedCount } = await findKeyring(objects, { repository: header.id, passphrase }, run);
  if (keyring !== undefined) {
    refuseForeign(header, keyring, objects.url);
    return { objects, header, runtime, memo: new RecordMemo(), keyring };
  }
  const hint =
    damagedCount === 0 ? undefined : `${damagedCount} of its key slots can’t be read: the passphrase may be right.`;
  throw new TidemarkError('KEY_REFUSED', `this passphrase does not open the repository at ${objects.url}`, { hint });
}

/** Opens with a credential that a host keeps. @throws KEY_REFUSED when it belongs to another repository */
export async function openWithCredential(
  objects: ObjectStore,
  credential: Credential,
  runtime: Runtime,
  run: Run,
): Promise<RepositoryAccess> {
  const header = await peekHeader(objects, run);
  refuseForeign(header, credential, objects.url);
  return withCredential({ objects, header, runtime, memo: new RecordMemo() }, credential);
}

function refuseForeign(header: RepositoryHeader, key: { repository: string; rootKey: Uint8Array }, url: string): void {
  if (header.id === key.repository && equalBytes(header.rootKey, key.rootKey)) return;
  throw new TidemarkError('KEY_REFUSED', `the repository at ${url} is not the one that this key belongs to`);
}

/** The access with what earlier runs of this host have read of the records, kept in `folder`. */
export async function withKeptRecords(
  access: RepositoryAccess,
  options: { readonly folder: string; readonly mayWrite: boolean },
  run: Run,
): Promise<RepositoryAccess> {
  const { keyring, writer, header, runtime } = access;
  const secret = keyring?.content?.seed ?? keyring?.maintenance?.seed ?? writer?.keys.idKey;
  if (secret === undefined) return access;
  return { ...access, kept: await KeptRecords.open({ ...options, secret, repository: header.id, runtime }, run) };
}

export function withCredential(access: RepositoryAccess, credential: Credential): RepositoryAccess {
  return credential.role === 'writer' ? { ...access, writer: credential } : { ...access, maintainer: credential };
}

/**
 * The access with the credential of that role and name, whose certificate is put into the repository when it is not there yet.
 * @throws KEY_MISSING without the owner's keys
 */
export async function withDerivedCredential(
  access: RepositoryAccess,
  options: { readonly role: CredentialRole; readonly name: string; readonly stores: readonly string[] },
  run: Run,
): Promise<RepositoryAccess> {
  const { objects, header, runtime } = access;
  if (access.keyring === undefined) {
    throw new TidemarkError('KEY_MISSING', 'issuing a credential takes the owner’s passphrase');
  }
  const { credential, certificate } = issueCredential({
    ...options,
    keyring: access.keyring,
    header,
    createdAtMs: runtime.clock.nowMs(),
    random: runtime.random,
  });
  const key = certificateKey(credential.id);
  if ((await objects.stat(key, run)) === undefined) {
    try {
      await objects.create(key, [certificate], run);
    } catch (error) {
      // Another process of this host came first with the same certificate.
      if (!isTidemarkError(error, 'OBJECT_EXISTS')) throw error;
    }
  }
  return withCredential(access, credential);
}

/** Adds a key slot. @throws KEY_MISSING when the keys at hand don't cover the role */
export async function addPassphrase(
  access: RepositoryAccess,
  options: {
    readonly passphrase: string;
    readonly role: SlotRole;
    readonly name: string;
    readonly cost?: KdfCost | undefined;
  },
  run: Run,
): Promise<SlotInfo> {
  const { keyring, runtime } = access;
  if (keyring?.owner === undefined) {
    throw new TidemarkError('KEY_MISSING', 'adding a passphrase takes the owner’s passphrase');
  }
  const info: SlotInfo = {
    id: toHex(runtime.random(16)),
    kind: 'passphrase',
    role: options.role,
    name: options.name,
    createdAtMs: runtime.clock.nowMs(),
  };
  const bytes = await writeSlot({
    keyring,
    info,
    passphrase: options.passphrase,
    cost: options.cost ?? DEFAULT_KDF_COST,
  });
  await access.objects.create(slotKey(info.id), [bytes], run);
  return info;
}

/** A key slot that opens nothing, and why it can't be read. */
export type UnreadableSlot = { readonly id: string; readonly problem: string };

/** What the slots say of themselves, which nothing proves before they are opened. */
export type ListedSlots = { readonly slots: readonly SlotInfo[]; readonly unreadable: readonly UnreadableSlot[] };

export async function listSlots({ objects }: RepositoryAccess, run: Run): Promise<ListedSlots> {
  const slots: SlotInfo[] = [];
  const unreadable: UnreadableSlot[] = [];
  for await (const key of listSlotKeys(objects, run)) {
    const found = await readIfSound(objects, key, run);
    if (found === undefined) continue;
    if ('problem' in found) {
      unreadable.push({ id: key.slice(key.indexOf('/') + 1), problem: found.problem });
      continue;
    }
    const { id, kind, role, name, createdAtMs } = found.slot;
    slots.push({ id, kind, role, name, createdAtMs });
  }
  return { slots, unreadable };
}

/** Removes a key slot, also one that can't be read. @throws USAGE when no other one would be left that opens everything */
export async function removeSlot(access: RepositoryAccess, id: string, run: Run): Promise<void> {
  const { slots, unreadable } = await listSlots(access, run);
  if (![...slots, ...unreadable].some((slot) => slot.id === id)) {
    throw new TidemarkError('USAGE', `no key ${id}; see \`tidemark keys list\``);
  }
  if (!slots.some((slot) => slot.id !== id && slot.role === 'all')) {
    throw new TidemarkError('USAGE', 'this is the last passphrase that opens everything', {
      hint: 'Add another one first with `tidemark keys add`.',
    });
  }
  await access.objects.delete([slotKey(id)], run);
}

/** An object that does not count, and why. */
export type BadObject = { readonly key: string; readonly message: string };

/** Certificates by credential id; what is damaged or forged is in `bad` and does not count. */
export type Certificates = { readonly byId: ReadonlyMap<string, Certificate>; readonly bad: readonly BadObject[] };

export async function loadCertificates(access: RepositoryAccess, run: Run): Promise<Certificates> {
  const { objects, header, memo } = access;
  const byId = new Map<string, Certificate>();
  const bad: BadObject[] = [];
  for await (const batch of objects.list('credentials/', '', run)) {
    for (const { key } of batch) {
      if (!isIdKey('credentials', key)) continue;
      try {
        const bytes = await readWhole(objects, key, MAX_SMALL_OBJECT_BYTES, run);
        const certificate = memo.certificate(`${key} ${toHex(sha256(bytes))}`, () =>
          readCertificate(bytes, { key, repository: header.id, rootKey: header.rootKey }),
        );
        byId.set(certificate.id, certificate);
      } catch (error) {
        if (isTidemarkError(error, 'OBJECT_NOT_FOUND')) continue;
        if (!isTidemarkError(error, 'REPOSITORY_DAMAGED')) throw error;
        bad.push({ key, message: error.message });
      }
    }
  }
  return { byId, bad };
}

/** The keys of the writer with that certificate, as far as this access may know them: its own, or any with the reader's key. */
export function writerKeysOf(access: RepositoryAccess, certificate: Certificate): WriterKeys | undefined {
  if (access.writer?.id === certificate.id) return access.writer.keys;
  const content = access.keyring?.content;
  return content && writerKeys(openIdKey(certificate, content.pair));
}

export function sectionAccess(access: RepositoryAccess, credential: string): SectionAccess {
  return {
    content: access.keyring?.content?.pair,
    maintenance: access.keyring?.maintenance?.pair ?? access.maintainer?.maintenance,
    idKey: access.writer?.id === credential ? access.writer.keys.idKey : undefined,
  };
}
