import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { embeddedConnector } from '../../src/connectors/embedded/connector.ts';
import { must } from '../../src/core/must.ts';
import type { Run, Runtime } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { openObjectStore } from '../../src/objects/registry.ts';
import { openWithPassphrase } from '../../src/repository/access.ts';
import { extractInPlace } from '../../src/repository/extract/in-place.ts';
import { readLog } from '../../src/repository/log-reader.ts';
import { RepositoryReader } from '../../src/repository/reader.ts';
import { openPoint } from '../../src/restore/point.ts';
import type { UpProcess } from './up-process.ts';

export const runtime: Runtime = {
  clock: createSystemClock(),
  random: (sizeBytes) => randomBytes(sizeBytes),
  logger: { log: () => undefined },
  temporaryFolder: tmpdir(),
};

export async function openReader(up: UpProcess, stack: AsyncDisposableStack, run: Run): Promise<RepositoryReader> {
  const objects = stack.use(await openObjectStore(up.repository, { runtime, baseFolder: up.folder }, run));
  const access = await openWithPassphrase(objects, up.passphrase, runtime, run);
  const options = { access, remembered: [], stateFolder: undefined, extract: extractInPlace };
  return stack.use(await RepositoryReader.open(options, run));
}

/** When each commit, and each version of a name (a character a byte), came into the repository first. */
export async function readRecorded(up: UpProcess, store: string, signal: AbortSignal) {
  const run: Run = { signal };
  await using stack = new AsyncDisposableStack();
  const reader = await openReader(up, stack, run);
  const transactions = new Map<string, { readonly atMs: number; readonly storedMs: number }>();
  const names = new Map<string, number[]>();
  const segments = reader.catalogue.segments.filter(({ history }) => history === store);
  for (const segment of segments.toSorted((left, right) => left.modifiedMs - right.modifiedMs)) {
    const { after, upTo, modifiedMs: storedMs } = segment;
    for await (const batch of readLog(reader.access, { segments: [segment], after, upTo }, run)) {
      const fresh = batch.filter(({ commit }) => !transactions.has(commit.position.order));
      for (const { commit } of fresh) transactions.set(commit.position.order, { atMs: commit.atMs, storedMs });
      for (const { name } of fresh.flatMap(({ entries }) => entries)) {
        const key = Buffer.from(name).toString('latin1');
        names.set(key, [...(names.get(key) ?? []), storedMs]);
      }
    }
  }
  return { transactions: [...transactions.values()], names };
}

/** Restores the newest position of an embedded store again and again; the base is next to nothing. */
export async function rollForwardRate(
  up: UpProcess,
  options: { readonly store: string; readonly rounds: number },
  signal: AbortSignal,
): Promise<{ readonly rates: readonly number[]; readonly changes: number }> {
  const run: Run = { signal };
  await using stack = new AsyncDisposableStack();
  const reader = await openReader(up, stack, run);
  const view = must(reader.catalogue.histories.get(options.store), 'a history');
  const base = must([...reader.catalogue.bases.values()][0], 'a base');
  const position = must(view.reachOf(base), 'a log');
  const point = must(view.planTo({ position, credential: base.credential }), 'a plan');
  const changes = point.segments.reduce((sum, segment) => sum + segment.changes, 0);
  const rates: number[] = [];
  for (let round = 0; round < options.rounds; round++) {
    const target = join(up.folder, `restored-${round}.db`);
    const place = { file: target };
    const startMs = performance.now();
    await using restorer = await embeddedConnector.openRestorer(place, { runtime, id: `r${round}` }, run);
    using opened = await openPoint(reader, point, run);
    await restorer.restoreBase(opened, run);
    await restorer.verify(run);
    await restorer.swap(run);
    rates.push(changes / ((performance.now() - startMs) / 1_000));
  }
  return { rates, changes };
}
