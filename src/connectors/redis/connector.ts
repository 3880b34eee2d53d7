import type { Connector } from '../../core/connector.ts';
import { orderOf } from '../../core/position.ts';
import { must } from '../../core/must.ts';
import { clusterPosition, parseClusterResume } from './cluster/positions.ts';
import { diagnoseRedis } from './diagnose.ts';
import { holdStore } from './hold.ts';
import { parseResume } from './link/history.ts';
import { compareRdbs, describeRdb, keyMatcher, listKeys, rdbContent, readKey } from './look.ts';
import { resolvePlace } from './place.ts';
import type { RedisPlace } from './place.ts';
import { previewRestore } from './preview.ts';
import { openRedisRecorder } from './recorder.ts';
import { openRedisRestorer } from './restorer.ts';
import { checkContents, checkEntry } from './stored-rdb.ts';
import { discardRestore, ifGivenUp, undoRestore } from './undo.ts';

/** Redis servers, recorded as their replica. */
export const redisConnector: Connector<RedisPlace> & Required<Pick<Connector<RedisPlace>, 'openRecorder'>> = {
  schemes: ['redis', 'rediss'],
  log: 'bytes',
  resolve: resolvePlace,
  openRecorder: openRedisRecorder,
  hold: holdStore,
  preview: previewRestore,
  openRestorer: async (place, context, { signal }) => {
    signal.throwIfAborted();
    return openRedisRestorer(place, context);
  },
  ifGivenUp,
  undo: undoRestore,
  discard: discardRestore,
  parsePosition: (text) => {
    const cluster = parseClusterResume(text);
    if (cluster !== undefined) {
      const order = orderOf(cluster.order);
      return cluster.vector === undefined ? { order } : { order, isMeant: ({ resume }) => resume === text };
    }
    const [, replId, offset] = /^(?:([0-9a-f]{40}):)?(\d{1,19})$/.exec(text) ?? [];
    if (offset === undefined) return undefined;
    const order = orderOf(BigInt(offset));
    return replId === undefined ? { order } : { order, isMeant: ({ resume }) => resume.startsWith(`${replId}:`) };
  },
  positionBetween: (order, next) => {
    // Which parts of which streams lie before it only its frames tell.
    if (parseClusterResume(next.resume) !== undefined) return clusterPosition(next.lineage, BigInt(order));
    const { replId } = must(parseResume(next.resume), 'a position of a Redis server');
    return { lineage: next.lineage, order, resume: `${replId}:${BigInt(order)}` };
  },
  checkEntry,
  checkContents,
  entryName: (path) => path,
  entryPath: (name) => name,
  content: rdbContent,
  readWithin: readKey,
  list: listKeys,
  describe: describeRdb,
  matcher: keyMatcher,
  compare: compareRdbs,
  diagnose: diagnoseRedis,
};
