import { isTidemarkError } from '../../core/errors.ts';
import type { Finding } from '../../core/finding.ts';
import type { Run } from '../../core/run.ts';
import type { ObjectInfo } from '../../objects/object-store.ts';
import { loadCertificates, sectionAccess } from '../access.ts';
import type { BadObject, Certificates, RepositoryAccess } from '../access.ts';
import { mayWrite } from '../format/certificate.ts';
import type { Certificate } from '../format/certificate.ts';
import { parseRecordKey } from '../format/names.ts';
import type { RecordKind } from '../format/names.ts';
import {
  maxRecordBytes,
  openableSection,
  openSection,
  peekRecordHeader,
  readRecord,
  verifyRecord,
} from '../format/record.ts';
import type { RecordHeader, SealedRecord, SectionName } from '../format/record.ts';
import type { JsonFields } from '../format/json.ts';
import { readListed } from '../read-whole.ts';

/** A record with a valid signature of a certified credential that may write its kind. */
export type TrustedRecord = {
  readonly record: SealedRecord;
  readonly certificate: Certificate;
  readonly modifiedMs: number;
};

/** A damaged, forged or misplaced record. `credential`: nothing is wrong with it but that this one has no certificate that counts. */
export type BadRecord = BadObject & { readonly credential?: string | undefined };

/** All records of a repository as one listing showed them. */
export type RecordLog = {
  readonly byKey: ReadonlyMap<string, TrustedRecord>;
  readonly certificates: Certificates;
  readonly bad: readonly BadRecord[];
  /** When each session last gave a sign of life, by the object store's clock. */
  readonly lastBeatMs: ReadonlyMap<string, number>;
  /** Keys of beats after the first, which carry nothing but their time. */
  readonly beatKeys: readonly string[];
};

/**
 * In this order: what names comes before what it names, so that a session that goes on meanwhile does not look damaged; pins come after the
 * ledgers, so that whoever sees a mark given up also sees the pin that was there before.
 */
const FOLDERS = [
  'sessions',
  'journal',
  'manifests',
  'void',
  'proofs',
  'runs',
  'ledger',
  'unpins',
  'pins',
] as const satisfies readonly string[];
const READS_AT_ONCE = 8;
/** Of records that are read at once, unless one alone is larger. */
const BYTES_AT_ONCE = 16 * 1024 * 1024;
/** Of a record that is larger than the first, the second is read before the rest: it shows most of what nobody here wrote. */
const LARGE_BYTES = 1024 * 1024;
const HEAD_BYTES = 16 * 1024; // of which a header has 8 KiB at most

/** Reads every record. What is damaged or forged is in `bad` and nowhere else. Records of `before` that still lie there are not read again. */
export async function loadRecords(access: RepositoryAccess, run: Run, before?: RecordLog): Promise<RecordLog> {
  const certificates = await loadCertificates(access, run);
  const byKey = new Map<string, TrustedRecord>();
  const bad: BadRecord[] = [];
  const lastBeatMs = new Map<string, number>();
  const beatKeys: string[] = [];
  const isRecord = ({ key, modifiedMs }: ObjectInfo): boolean => {
    const name = parseRecordKey(key);
    if (name === undefined) return false;
    if (name.folder !== 'sessions') return true;
    lastBeatMs.set(name.session, Math.max(modifiedMs, lastBeatMs.get(name.session) ?? 0));
    if (name.number === 'end' || name.number === 0) return true;
    beatKeys.push(key);
    return false;
  };
  const read = async (info: ObjectInfo): Promise<void> => {
    const known = before?.byKey.get(info.key);
    const found = known?.modifiedMs === info.modifiedMs ? known : await readTrusted(access, certificates, info, run);
    if (found === undefined) return;
    if ('message' in found) {
      bad.push(found);
      return;
    }
    byKey.set(info.key, { ...found, modifiedMs: info.modifiedMs });
    const { record, certificate } = found;
    access.kept?.add(info, { record, signingKey: certificate.signingKey }, sectionAccess(access, certificate.id));
  };
  for (const folder of FOLDERS) {
    for await (const batch of access.objects.list(`${folder}/`, '', run)) {
      for (const group of readTogether(batch.filter(isRecord))) await Promise.all(group.map(read));
    }
  }
  return { byKey, certificates, bad, lastBeatMs, beatKeys };
}

type ProvableRecord = { readonly record: SealedRecord; isProven(signingKey: Uint8Array): boolean };

/** In their order, in groups of which all may be in memory. */
function* readTogether(infos: readonly ObjectInfo[]): Generator<readonly ObjectInfo[]> {
  let group: ObjectInfo[] = [];
  let bytes = 0;
  for (const info of infos) {
    if (group.length === READS_AT_ONCE || (group.length > 0 && bytes + info.sizeBytes > BYTES_AT_ONCE)) {
      yield group;
      [group, bytes] = [[], 0];
    }
    group.push(info);
    bytes += info.sizeBytes;
  }
  if (group.length > 0) yield group;
}

/** Who wrote a record, by what its header says, or why it does not count whatever else it holds. */
function judgeHeader(
  access: RepositoryAccess,
  certificates: Certificates,
  { repository, credential, kind }: RecordHeader,
): Certificate | Omit<BadRecord, 'key'> {
  if (repository !== access.header.id) return { message: 'it belongs to another repository' };
  const certificate = certificates.byId.get(credential);
  if (certificate === undefined) return { message: 'its writer has no certificate', credential };
  return mayWrite(certificate, kind) ? certificate : { message: `a ${certificate.role} may not write it` };
}

/** A record, and whether its signature is known to fit, or fits. */
async function readProvable(
  access: RepositoryAccess,
  certificates: Certificates,
  info: ObjectInfo,
  run: Run,
): Promise<ProvableRecord | Omit<BadRecord, 'key'>> {
  const { objects } = access;
  const kept = access.kept?.find(info, certificates.byId, sectionAccess(access, ''));
  if (kept !== undefined) return { record: kept, isProven: () => true };
  const limitBytes = maxRecordBytes(info.key);
  if (info.sizeBytes > limitBytes) return { message: `it is larger than ${limitBytes} bytes` };
  if (info.sizeBytes > LARGE_BYTES) {
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    const header = peekRecordHeader(head.subarray(0, await objects.read(info.key, 0, head, run)), info.key);
    const judged = judgeHeader(access, certificates, header);
    if ('message' in judged) return judged;
  }
  const record = readRecord(await readListed(objects, info, run), info.key);
  return { record, isProven: (signingKey) => verifyRecord(record, signingKey) };
}

/** Undefined when it was deleted since it was listed. */
async function readTrusted(
  access: RepositoryAccess,
  certificates: Certificates,
  info: ObjectInfo,
  run: Run,
): Promise<Omit<TrustedRecord, 'modifiedMs'> | BadRecord | undefined> {
  const { key } = info;
  try {
    const found = await readProvable(access, certificates, info, run);
    if ('message' in found) return { key, ...found };
    const { record, isProven } = found;
    const certificate = judgeHeader(access, certificates, record.header);
    if ('message' in certificate) return { key, ...certificate };
    const { signingKey } = certificate;
    const fits = access.memo.signature(record.digest, certificate, () => isProven(signingKey));
    return fits ? { record, certificate } : { key, message: 'its signature does not fit' };
  } catch (error) {
    if (isTidemarkError(error, 'OBJECT_NOT_FOUND')) return undefined;
    if (isTidemarkError(error, 'REPOSITORY_DAMAGED')) return { key, message: error.message };
    throw error;
  }
}

/** What is about to be deleted, and for which sessions that waits. */
export type CondemnedList = {
  readonly key: string;
  readonly modifiedMs: number;
  readonly sessions: readonly string[];
  readonly objects: readonly string[];
};

/**
 * The condemned lists that are there now; damaged or forged ones don't count. Those that `isKnown` are left out, and where nothing else is
 * there nothing is read.
 */
export async function loadCondemned(
  access: RepositoryAccess,
  run: Run,
  isKnown: (key: string) => boolean = () => false,
): Promise<readonly CondemnedList[]> {
  const fresh: ObjectInfo[] = [];
  for await (const batch of access.objects.list('condemned/', '', run)) {
    fresh.push(...batch.filter(({ key }) => parseRecordKey(key) !== undefined && !isKnown(key)));
  }
  if (fresh.length === 0) return [];
  // Loaded each time: a list may be by a maintainer who was certified a moment ago.
  const certificates = await loadCertificates(access, run);
  const found: CondemnedList[] = [];
  for (const info of fresh) {
    const { key, modifiedMs } = info;
    const read = await readTrusted(access, certificates, info, run);
    if (read === undefined || 'message' in read) continue;
    const fields = openTrusted(access, { ...read, modifiedMs }, ['plain']);
    if (fields !== undefined) {
      found.push({ key, modifiedMs, sessions: fields.texts('sessions'), objects: fields.texts('objects') });
    }
  }
  return found;
}

/** Opens a section of a record. Undefined when this access has no key for any of `names`. @throws REPOSITORY_DAMAGED */
export function openTrusted(
  access: RepositoryAccess,
  { record }: TrustedRecord,
  names: readonly SectionName[],
): JsonFields | undefined {
  const keys = sectionAccess(access, record.header.credential);
  const found = openableSection(record, names, keys);
  if (found === undefined) return undefined;
  const { name, section } = found;
  const sizeBytes = section instanceof Uint8Array ? section.byteLength : record.sizeBytes;
  return access.memo.section(`${record.digest} ${name}`, sizeBytes, () => {
    const fields = openSection(record, found, keys);
    access.kept?.addOpened(record, name, fields);
    return fields;
  });
}

export function ofKind(log: Pick<RecordLog, 'byKey'>, kind: RecordKind): readonly TrustedRecord[] {
  return [...log.byKey.values()].filter(({ record }) => record.header.kind === kind);
}

export function badRecordFinding({ key, message }: BadObject): Finding {
  return {
    code: 'record',
    severity: 'error',
    message: message.startsWith(key) ? message : `${key}: ${message}`,
    hint: 'Run `tidemark verify --data` to see what is affected.',
  };
}
