/**
 * A place in the history of a store. `order` sorts as text within its lineage (numbers are padded); `resume` is the
 * connector's own token. Positions of different lineages can't be compared.
 */
export type Position = { readonly lineage: string; readonly order: string; readonly resume: string };

/**
 * What a history's positions belong to. `parent` only where the engine proves that the log goes on. `brokenBy`: why that of a position that was known does
 * not, as a clause; `partedAt`, where that can be told, is the last place of it that is a part of this one too.
 */
export type Lineage = {
  readonly id: string;
  readonly parent?: Position | undefined;
  readonly brokenBy?: string | undefined;
  readonly partedAt?: Position | undefined;
};

/** How exactly a store can be brought to a mark: at its position, at a time, or as it was read during an interval. */
export type Exactness = 'position' | 'time' | 'observation';

const ORDER_DIGITS = 20;
const LARGEST_ORDER = '18446744073709551615';
const DIGITS = /^[0-9]{1,20}$/;

/** The `order` of a count, such that text order is numeric order. @throws RangeError outside of 0 to 2^64-1. */
export function orderOf(count: number | bigint): string {
  const value = BigInt(count);
  if (value < 0n || value > 0xffffffffffffffffn) throw new RangeError(`not a count: ${value}`);
  return value.toString().padStart(ORDER_DIGITS, '0');
}

/** Whether a text can be an `order`: the decimal digits of a number from 0 to 2^64-1. */
export function isOrder(text: string): boolean {
  return DIGITS.test(text) && (text.length < ORDER_DIGITS || text <= LARGEST_ORDER);
}

/** Negative, 0 or positive; undefined when the lineages differ and nothing can be said. */
export function comparePositions(left: Position, right: Position): number | undefined {
  if (left.lineage !== right.lineage) return undefined;
  if (left.order === right.order) return 0;
  return left.order < right.order ? -1 : 1;
}

/** Recorders of one history that give one order to different things tell them apart by their tokens. */
export function isSamePlace(left: Position, right: Position): boolean {
  return left.lineage === right.lineage && left.order === right.order && left.resume === right.resume;
}

/** Whether a position lies on a stretch of one lineage: between its ends, or at the same place as one of them. */
export function isWithin(stretch: { readonly after: Position; readonly upTo: Position }, position: Position): boolean {
  const { after, upTo } = stretch;
  if (position.lineage !== upTo.lineage) return false;
  const isInside = after.order < position.order && position.order < upTo.order;
  return isInside || isSamePlace(after, position) || isSamePlace(upTo, position);
}
