import type { BaseRecord } from './catalogue.ts';

/** When a base was written, by the object store's clock as its writer noted it, so that a copied repository keeps the order. */
export function baseAtMs({ summary, modifiedMs }: BaseRecord): number {
  return Math.min(summary.createdAtMs, modifiedMs);
}

/** The base that was written last. */
export function newestOf(bases: readonly BaseRecord[]): BaseRecord | undefined {
  return bases.toSorted((left, right) => baseAtMs(left) - baseAtMs(right) || (left.key < right.key ? -1 : 1)).at(-1);
}
