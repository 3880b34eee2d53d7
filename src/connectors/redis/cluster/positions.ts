import { must } from '../../../core/must.ts';
import { orderOf } from '../../../core/position.ts';
import type { Position } from '../../../core/position.ts';
import { parseResume } from '../link/history.ts';
import type { StreamPlace } from '../link/history.ts';

/** Where each shard's stream is, by the shard's number. */
export type Vector = readonly StreamPlace[];

/** A place in the log of a cluster. `vector` is absent where an operator named an order between two commits. */
export type ClusterPlace = { readonly order: bigint; readonly vector: Vector | undefined };

const RESUME = /^cluster:(\d{1,20})(?:;(.*))?$/s;

/** Undefined for what is no position of a cluster. */
export function parseClusterResume(resume: string): ClusterPlace | undefined {
  const [, order, places] = RESUME.exec(resume) ?? [];
  if (order === undefined) return undefined;
  const vector = places?.split(',').map(parseResume);
  return vector?.includes(undefined) === true
    ? undefined
    : { order: BigInt(order), vector: vector?.map((place) => must(place, 'a place')) };
}

/** The vector of a position of this connector. @throws BugError for another one's */
export function vectorOf({ resume }: Position): Vector {
  return must(parseClusterResume(resume)?.vector, 'a position of a Redis cluster');
}

/** `order` counts the bytes of the log with its frames. Without a vector: all that lies before it. */
export function clusterPosition(lineage: string, order: bigint, vector?: Vector): Position {
  const places = vector === undefined ? '' : `;${vector.map(({ replId, offset }) => `${replId}:${offset}`).join(',')}`;
  return { lineage, order: orderOf(order), resume: `cluster:${order}${places}` };
}
