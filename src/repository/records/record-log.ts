import { isTidemarkError } from '../../core/errors.ts';
import type { Finding } from '../../core/finding.ts';
import type { Run } from '../../core/run.ts';
import { loadCertificates, sectionAccess } from '../access.ts';
import type { BadObject, Certificates, RepositoryAccess } from '../access.ts';
import { mayWrite } from '../format/certificate.ts';
import type { Certificate } from '../format/certificate.ts';
import { parseRecordKey } from '../format/names.ts';
import type { RecordKind } from '../format/names.ts';
import { MAX_RECORD_BYTES, openSection, readRecord, verifyRecord } from '../format/record.ts';
import type { SealedRecord, SectionName } from '../format/record.ts';
import type { JsonFields } from '../format/json.ts';
import { readWhole } from '../read-whole.ts';

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

const FOLDERS = ['sessions', 'manifests', 'journal', 'void', 'pins', 'unpins', 'proofs', 'runs', 'ledger'] as const;
const READS_AT_ONCE = 8;

/** Reads every record. What is damaged or forged is in `bad` and nowhere else. */
export async function loadRecords(access: RepositoryAccess, run: Run): Promise<RecordLog> {
  const certificates = await loadCertificates(access, run);
  const byKey = new Map<string, TrustedRecord>();
  const bad: BadRecord[] = [];
  const lastBeatMs = new Map<string, number>();
  const beatKeys: string[] = [];
  for (const folder of FOLDERS) {
    for await (const batch of access.objects.list(`${folder}/`, '', run)) {
      const wanted = batch.filter(({ key, modifiedMs }) => {
        const name = parseRecordKey(key);
        if (name === undefined) return false;
        if (folder !== 'sessions') return true;
        lastBeatMs.set(name.session, Math.max(modifiedMs, lastBeatMs.get(name.session) ?? 0));
        if (name.number === 'end' || name.number === 0) return true;
        beatKeys.push(key);
        return false;
      });
      for (let at = 0; at < wanted.length; at += READS_AT_ONCE) {
        const group = wanted.slice(at, at + READS_AT_ONCE);
        const read = await Promise.all(group.map(({ key }) => readTrusted(access, certificates, key, run)));
        for (const [index, found] of read.entries()) {
          const info = group[index];
          if (info === undefined || found === undefined) continue;
          if ('message' in found) bad.push(found);
          else byKey.set(info.key, { ...found, modifiedMs: info.modifiedMs });
        }
      }
    }
  }
  return { byKey, certificates, bad, lastBeatMs, beatKeys };
}

/** Undefined when it was deleted since it was listed. */
async function readTrusted(
  access: RepositoryAccess,
  certificates: Certificates,
  key: string,
  run: Run,
): Promise<Omit<TrustedRecord, 'modifiedMs'> | BadRecord | undefined> {
  try {
    const record = readRecord(await readWhole(access.objects, key, MAX_RECORD_BYTES, run), key);
    const certificate = certificates.byId.get(record.header.credential);
    if (record.header.repository !== access.header.id) return { key, message: 'it belongs to another repository' };
    if (certificate === undefined) {
      return { key, message: 'its writer has no certificate', credential: record.header.credential };
    }
    if (!verifyRecord(record, certificate.signingKey)) return { key, message: 'its signature does not fit' };
    if (!mayWrite(certificate, record.header.kind)) return { key, message: `a ${certificate.role} may not write it` };
    return { record, certificate };
  } catch (error) {
    if (isTidemarkError(error, 'OBJECT_NOT_FOUND')) return undefined;
    if (isTidemarkError(error, 'REPOSITORY_DAMAGED')) return { key, message: error.message };
    throw error;
  }
}

/** The condemned lists that are there now; damaged or forged ones don't count. */
export async function loadCondemned(access: RepositoryAccess, certificates: Certificates, run: Run): Promise<readonly TrustedRecord[]> {
  const found: TrustedRecord[] = [];
  for await (const batch of access.objects.list('condemned/', '', run)) {
    for (const { key, modifiedMs } of batch) {
      const read = await readTrusted(access, certificates, key, run);
      if (read !== undefined && !('message' in read)) found.push({ ...read, modifiedMs });
    }
  }
  return found;
}

/** Opens a section of a record. Undefined when this access has no key for any of `names`. @throws REPOSITORY_DAMAGED */
export function openTrusted(access: RepositoryAccess, trusted: TrustedRecord, names: readonly SectionName[]): JsonFields | undefined {
  return openSection(trusted.record, names, sectionAccess(access, trusted.record.header.credential));
}

export function ofKind(log: RecordLog, kind: RecordKind): readonly TrustedRecord[] {
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
