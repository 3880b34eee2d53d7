import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from './access.ts';
import type { Catalogue } from './catalogue.ts';
import { isDamage } from './format/byte-cursor.ts';
import type { Json, JsonFields } from './format/json.ts';
import { writeVerification } from './known-damage.ts';
import type { Verification } from './known-damage.ts';
import { inMaintainerSession } from './maintainer.ts';
import type { MaintainerOptions } from './maintainer.ts';
import type { Head } from './records/heads.ts';
import { ofKind, openTrusted } from './records/record-log.ts';
import type { TrustedRecord } from './records/record-log.ts';

/** Sessions silent for so many leases are taken for dead, as a sweep does. */
const DEAD_LEASES = 2;

/** How a run ended, as it said itself. `code`: of the error, where there was one. */
export type RunBody = {
  readonly command: string;
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly outcome: string;
  readonly code?: string | undefined;
  readonly summary: Json;
};

/** `host` is absent where its session's start is gone, `summary` where the run never said how it ended. */
export type PastRun = Omit<RunBody, 'summary'> & {
  readonly key: string;
  readonly host?: string | undefined;
  readonly summary?: Readonly<Record<string, Json>> | undefined;
};

/** What the record of a run says. */
export type EndedRun = Omit<PastRun, 'key' | 'host'>;

/**
 * Past runs, newest first. A session that wrote and never said how it ended is among them: `running` while it gives signs of life, else
 * `cut off`. `nowMs`: the object store's time. Damaged records are among the catalogue's findings, not here.
 */
export function listRuns(access: RepositoryAccess, catalogue: Catalogue, nowMs: number): readonly PastRun[] {
  const runs: PastRun[] = [];
  for (const [session, chain] of catalogue.chains) {
    const records = [...chain.values()];
    const start = records.find(({ record }) => record.header.kind === 'start');
    const begun = start && readWhere(access, start, readStart);
    const told = records.filter(({ record }) => record.header.kind === 'run');
    for (const trusted of told) {
      const body = readWhere(access, trusted, readRun);
      if (body !== undefined) runs.push({ key: trusted.record.key, ...body, host: begun?.host });
    }
    const hasEnded = told.length > 0 || records.some(({ record }) => record.header.kind === 'end');
    if (start === undefined || begun === undefined || hasEnded) continue;
    const { command, startedAtMs, host } = begun;
    const lastMs = Math.max(catalogue.log.lastBeatMs.get(session) ?? 0, ...records.map(({ modifiedMs }) => modifiedMs));
    const isAlive = lastMs >= nowMs - DEAD_LEASES * access.header.leaseMs;
    const durationMs = Math.max(0, (isAlive ? nowMs : lastMs) - start.modifiedMs);
    runs.push({
      key: start.record.key,
      command,
      startedAtMs,
      durationMs,
      outcome: isAlive ? 'running' : 'cut off',
      host,
    });
  }
  return runs.toSorted((left, right) => right.startedAtMs - left.startedAtMs || (left.key < right.key ? 1 : -1));
}

/** How runs of maintainers ended, newest first: each is opened when it is asked for. */
export function* maintainerRuns(access: RepositoryAccess, { log }: Pick<Catalogue, 'log'>): Generator<EndedRun> {
  const told = ofKind(log, 'run').filter(({ certificate }) => certificate.role === 'maintainer');
  for (const trusted of told.toSorted((left, right) => right.modifiedMs - left.modifiedMs)) {
    const body = readWhere(access, trusted, readRun);
    if (body !== undefined) yield body;
  }
}

/** Writes down how a run of a maintainer ended, in a session of its own; of a verification also what it found. Returns that session's head. */
export async function putRun(
  options: Pick<MaintainerOptions, 'access' | 'info'> & {
    readonly catalogue: Catalogue;
    readonly body: RunBody;
    readonly verification?: Verification | undefined;
  },
  run: Run,
): Promise<Head> {
  const { body, verification, ...rest } = options;
  const { code, ...said } = body;
  const value: Json = { ...said, ...(code === undefined ? {} : { code }) };
  const found = verification === undefined ? [] : [writeVerification(verification)];
  const { head } = await inMaintainerSession(
    { ...rest, remembered: [] },
    (session) => session.put('run', [{ name: 'maintenance', value }, ...found], run),
    run,
  );
  return head;
}

function readWhere<T>(
  access: RepositoryAccess,
  trusted: TrustedRecord,
  read: (fields: JsonFields) => T,
): T | undefined {
  try {
    const fields = openTrusted(access, trusted, ['maintenance']);
    return fields && read(fields);
  } catch (error) {
    if (!isDamage(error)) throw error;
    return undefined;
  }
}

function readRun(fields: JsonFields): EndedRun {
  return {
    command: fields.text('command'),
    startedAtMs: fields.number('startedAtMs'),
    durationMs: fields.number('durationMs'),
    outcome: fields.text('outcome'),
    code: fields.optionalText('code'),
    summary: fields.json('summary'),
  };
}

function readStart(fields: JsonFields): {
  readonly command: string;
  readonly startedAtMs: number;
  readonly host: string;
} {
  return { command: fields.text('command'), startedAtMs: fields.number('atMs'), host: fields.text('host') };
}
