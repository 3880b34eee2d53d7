import { must } from '../../core/must.ts';
import { orderOf } from '../../core/position.ts';
import type { Position } from '../../core/position.ts';

/** As the server writes it: `16/B374D848`. Undefined for what is none. */
export function parseLsn(text: string): bigint | undefined {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (match === null) return undefined;
  const [, high = '', low = ''] = match;
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}

export function formatLsn(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}

/** A place in a server's log, and the timeline that wrote what lies before it: a point of switching belongs to the older one. */
export type WalPlace = { readonly timeline: number; readonly lsn: bigint };

export function positionOf({ timeline, lsn }: WalPlace, lineage: string): Position {
  return { lineage, order: orderOf(lsn), resume: `${timeline}/${formatLsn(lsn)}` };
}

/** The inverse of `positionOf`; undefined for a token that is none. */
export function placeOf({ resume }: Position): WalPlace | undefined {
  const match = /^([1-9][0-9]{0,9})\/(.+)$/.exec(resume);
  const lsn = parseLsn(match?.[2] ?? '');
  return lsn === undefined ? undefined : { timeline: Number(match?.[1]), lsn };
}

/** The position of an order within what `next` ends. */
export function positionBetween(order: string, next: Position): Position {
  const { timeline } = must(placeOf(next), 'a position of a PostgreSQL server');
  return positionOf({ timeline, lsn: BigInt(order) }, next.lineage);
}
