import { compareBytes, startsWithBytes } from '../../core/bytes.ts';
import type { Connector } from '../../core/connector.ts';
import { TidemarkError } from '../../core/errors.ts';
import { orderOf } from '../../core/position.ts';
import { must } from '../../core/must.ts';
import { diagnoseRedis } from './diagnose.ts';
import { holdStore } from './hold.ts';
import { parseResume } from './link/history.ts';
import { resolvePlace } from './place.ts';
import type { RedisPlace } from './place.ts';
import { openRedisRecorder } from './recorder.ts';
import { openScanRecorder } from './scan-recorder.ts';
import { openRedisRestorer } from './restorer.ts';

/** Redis servers, recorded as their replica. */
export const redisConnector: Connector<RedisPlace> & Required<Pick<Connector<RedisPlace>, 'openRecorder'>> = {
  schemes: ['redis', 'rediss'],
  log: 'bytes',
  resolve: resolvePlace,
  openRecorder: (place, context, run) =>
    place.source === 'scan' ? openScanRecorder(place, context, run) : openRedisRecorder(place, context, run),
  hold: holdStore,
  preview: async (_, { target }) => ({
    into: target ?? 'here',
    inOneStep: false,
    replaces: false,
    freeBytes: undefined,
    sideEffects: [],
    blockers: [],
  }),
  openRestorer: async (place, context, { signal }) => {
    signal.throwIfAborted();
    return openRedisRestorer(place, context);
  },
  undo: async () => {
    throw new TidemarkError('NOTHING_TO_RESUME', 'not yet');
  },
  discard: async () => undefined,
  parsePosition: (text) => {
    const offset = /^(?:[0-9a-f]{40}:)?(\d{1,19})$/.exec(text)?.[1];
    return offset === undefined ? undefined : orderOf(BigInt(offset));
  },
  positionBetween: (order, next) => {
    const { replId } = must(parseResume(next.resume), 'a position of a Redis server');
    return { lineage: next.lineage, order, resume: `${replId}:${BigInt(order)}` };
  },
  entryName: (path) => path,
  entryPath: (name) => name,
  content: ({ content }) => content && { read: (base, run) => base.read(content, run) },
  async *list(base, path, _, run) {
    for await (const batch of base.entries(run)) {
      yield batch
        .filter(({ name }) => startsWithBytes(name, path))
        .map(({ name, content }) => ({ name, type: 'file', sizeBytes: content?.sizeBytes ?? 0 }));
    }
  },
  describe: ({ name, content }) => ({ name, type: 'file', sizeBytes: content?.sizeBytes ?? 0 }),
  matcher: () => () => true,
  compare: (left, right, sameContent) =>
    sameContent && compareBytes(left.name, right.name) === 0 ? 'none' : 'content',
  diagnose: diagnoseRedis,
};
