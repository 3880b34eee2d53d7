import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from './access.ts';
import { loadCatalogue, newestBase } from './catalogue.ts';
import type { Catalogue } from './catalogue.ts';
import type { Head } from './records/heads.ts';
import { writeLedger } from './records/ledger.ts';
import { Session } from './records/session.ts';
import type { SessionInfo } from './records/session.ts';
import type { MaintainerCredential } from './keys/credential.ts';
import { selectMarks } from './retention.ts';
import type { RetentionPolicy, Selection } from './retention.ts';

export type MaintainerOptions = {
  readonly access: RepositoryAccess;
  readonly info: SessionInfo;
  readonly remembered: readonly Head[];
};

export function maintainerOf(access: RepositoryAccess): MaintainerCredential {
  if (access.maintainer === undefined) throw new TidemarkError('KEY_MISSING', 'this takes a maintainer’s credential or the owner’s passphrase');
  return access.maintainer;
}

/** Bases that retention never takes: of each history the newest, and the newest that was proven. */
export function protectedBases(catalogue: Catalogue): ReadonlyMap<string, 'newest base' | 'proven base'> {
  const marked = new Set(catalogue.marks.flatMap(({ mark }) => Object.values(mark.bases)));
  const kept = new Map<string, 'newest base' | 'proven base'>();
  const histories = new Set([...catalogue.bases.values()].map(({ summary }) => summary.history));
  for (const history of histories) {
    const bases = [...catalogue.bases.values()].filter(({ key, summary }) => summary.history === history && marked.has(key));
    const proven = bases.filter(({ provenAtMs }) => provenAtMs !== undefined).toSorted((left, right) => left.modifiedMs - right.modifiedMs);
    const newestProven = proven.at(-1);
    const newest = bases.toSorted((left, right) => left.modifiedMs - right.modifiedMs).at(-1) ?? newestBase(catalogue, history);
    if (newestProven !== undefined) kept.set(newestProven.key, 'proven base');
    if (newest !== undefined) kept.set(newest.key, 'newest base');
  }
  return kept;
}

/** Runs `work` in a session of the maintainer and ends it. */
export async function inMaintainerSession<T>(
  options: MaintainerOptions & { readonly catalogue: Catalogue },
  work: (session: Session) => Promise<T>,
  run: Run,
): Promise<{ readonly result: T; readonly head: Head }> {
  const credential = maintainerOf(options.access);
  const session = await Session.open({ access: options.access, credential, heads: options.catalogue.heads.frontier, info: options.info }, run);
  const result = await work(session);
  await session.end(run);
  return { result, head: session.head };
}

/** What retention keeps and gives up now. Writes nothing. */
export async function planForget(options: MaintainerOptions & { readonly policy: RetentionPolicy; readonly timezone: string }, run: Run): Promise<{ readonly catalogue: Catalogue; readonly selection: Selection }> {
  maintainerOf(options.access);
  const catalogue = await loadCatalogue(options.access, options.remembered, run);
  const { policy, timezone } = options;
  return { catalogue, selection: selectMarks({ marks: catalogue.marks, policy, timezone, keptBases: protectedBases(catalogue) }) };
}

/** Gives up the marks that the policy does not keep. What they needed is freed by the next sweeps. */
export async function forget(
  options: MaintainerOptions & { readonly policy: RetentionPolicy; readonly timezone: string },
  run: Run,
): Promise<{ readonly selection: Selection; readonly heads: readonly Head[] }> {
  const { catalogue, selection } = await planForget(options, run);
  if (selection.forgotten.length === 0) return { selection, heads: catalogue.heads.frontier };
  const forgotten = selection.forgotten.map(({ mark }) => mark.id);
  const { head } = await inMaintainerSession(
    { ...options, catalogue },
    async (session) => {
      const atMs = options.access.runtime.clock.nowMs();
      const body = catalogue.ledger.extend({ forgotten, removed: [], atMs });
      await session.put('ledger', [{ name: 'maintenance', value: writeLedger(body) }], run);
    },
    run,
  );
  return { selection, heads: [...catalogue.heads.frontier, head] };
}

/** Pins a mark, or ends all its pins. @throws TARGET_UNKNOWN when retention gave it up meanwhile */
export async function setPinned(options: MaintainerOptions & { readonly catalogue: Catalogue; readonly mark: string; readonly pinned: boolean }, run: Run): Promise<readonly Head[]> {
  const { access, catalogue, mark } = options;
  const atMs = access.runtime.clock.nowMs();
  const { head } = await inMaintainerSession(
    options,
    async (session) => {
      const value = options.pinned ? { mark, atMs } : { mark, atMs, pins: catalogue.pins.get(mark) ?? [] };
      await session.put(options.pinned ? 'pin' : 'unpin', [{ name: 'maintenance', value }], run);
    },
    run,
  );
  const after = await loadCatalogue(access, options.remembered, run);
  if (!after.marks.some((record) => record.mark.id === mark)) {
    throw new TidemarkError('TARGET_UNKNOWN', `mark ${mark} was given up by retention while it was being pinned`);
  }
  return [...after.heads.frontier, head];
}
