import { TidemarkError } from '../../src/core/errors.ts';
import type { Spool } from '../../src/io/spool.ts';
import type { SpoolRecord } from '../../src/io/spool-record.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import type { SimulatedHost } from './simulated-host.ts';

/** A file of the spool holds so many records: released ones come again as long as their file is there. */
const FILE_RECORDS = 4;
const FLUSH_MS = 20;

/** What a disk keeps of a spool, whatever becomes of the process. */
export type SpoolDisk = { records: readonly SpoolRecord[]; last: number };

/** The spool of a process, on a disk that outlives it. What is being appended when it dies may be there or not. */
export function openSimulatedSpool(
  disk: SpoolDisk,
  options: { readonly host: SimulatedHost; readonly random: SeededRandom; readonly maxBytes: number },
): Spool {
  const { host, random, maxBytes } = options;
  let released = (disk.records[0]?.sequence ?? disk.last + 1) - 1;
  const refuseDead = (): void => {
    if (host.dead) throw host.life.signal.reason;
  };
  const sizeOf = (records: readonly SpoolRecord[]): number =>
    records.reduce((sum, { label, body }) => sum + label.byteLength + body.byteLength, 0);
  return {
    get sizeBytes() {
      return sizeOf(disk.records);
    },
    get lastSequence() {
      return disk.last;
    },
    async append(entries, run) {
      run.signal.throwIfAborted();
      const fresh = entries.map(({ label, body }, at) => {
        return { sequence: disk.last + 1 + at, label: label.slice(), body: Buffer.concat(body) };
      });
      if (sizeOf([...disk.records, ...fresh]) > maxBytes) throw new TidemarkError('SPOOL_FULL', 'simulated: no room');
      const isBefore = random.chance(0.5);
      if (!isBefore) await host.clock.sleep(random.integer(FLUSH_MS), run);
      refuseDead();
      disk.records = [...disk.records, ...fresh];
      disk.last += fresh.length;
      if (isBefore) await host.clock.sleep(random.integer(FLUSH_MS), run);
      refuseDead();
      return disk.last;
    },
    async *read(after, run) {
      for (let sequence = after ?? 0; ; ) {
        run.signal.throwIfAborted();
        const from = Math.max(sequence, released);
        const batch = disk.records.filter((record) => record.sequence > from).slice(0, 2);
        const last = batch.at(-1);
        if (last === undefined) return;
        yield batch;
        sequence = last.sequence;
      }
    },
    async release(upTo, run) {
      run.signal.throwIfAborted();
      refuseDead();
      released = Math.max(released, upTo);
      const kept = released - (released % FILE_RECORDS);
      disk.records = disk.records.filter((record) => record.sequence > kept);
    },
    async [Symbol.asyncDispose]() {},
  };
}
