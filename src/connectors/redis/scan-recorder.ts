import { rm } from 'node:fs/promises';
import { toHex } from '../../core/bytes.ts';
import type { RecorderContext } from '../../core/connector.ts';
import { fromSystem } from '../../core/errors.ts';
import { orderOf } from '../../core/position.ts';
import type { Position } from '../../core/position.ts';
import type { Recorder } from '../../core/recorder.ts';
import type { Run } from '../../core/run.ts';
import { originOf, RDB_ENTRY, RdbBase } from './base.ts';
import { openMaster } from './link/find-master.ts';
import type { RedisPlace } from './place.ts';
import { scanToRdb } from './scan-base.ts';
import { ScratchFiles } from './scratch-files.ts';

const ID_BYTES = 8;
const RESUME = /^scan:/;

/**
 * Records a server that permits no replicas: a base is what a scan finds, key by key, while the store is used; there is no log. Positions count bases.
 * @throws STORE_UNREACHABLE, UNSUPPORTED
 */
export async function recorderByScan(place: RedisPlace, context: RecorderContext, run: Run): Promise<Recorder> {
  run.signal.throwIfAborted();
  const { runtime, previous } = context;
  await using opened = new AsyncDisposableStack();
  const files = opened.use(await ScratchFiles.open(context));
  await (await openMaster(place, runtime.clock, run)).client[Symbol.asyncDispose]();
  const held = opened.move();
  const id = (): string => toHex(runtime.random(ID_BYTES));
  // Whoever recorded it as a replica before counted something else.
  const known = previous !== undefined && RESUME.test(previous.resume) ? previous : undefined;
  const lineage = known?.lineage ?? `scan-${id()}`;
  let count = BigInt(known?.order ?? 0);
  return {
    lineage: { id: lineage },
    exact: 'observation',
    async ping(inner) {
      await (await openMaster(place, runtime.clock, inner)).client[Symbol.asyncDispose]();
    },
    async openBase(inner) {
      inner.signal.throwIfAborted();
      await using taking = new AsyncDisposableStack();
      const { client, server } = await openMaster(place, runtime.clock, inner);
      taking.use(client);
      const path = files.next();
      taking.defer(() => rm(path, { force: true }));
      try {
        await scanToRdb(client, path, inner);
      } catch (error) {
        throw fromSystem(error, 'FAILED', `${path} can’t be written`);
      }
      taking.move();
      await client[Symbol.asyncDispose]();
      count++;
      const cut: Position = { lineage, order: orderOf(count), resume: `scan:${count}:${id()}` };
      return new RdbBase([{ name: RDB_ENTRY, path, origin: originOf(server) }], { logFrom: cut, cut });
    },
    [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
  };
}
