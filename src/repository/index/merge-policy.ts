/**
 * Which runs to merge into one, as places in `sizes`; none while there are at most `limit`. Always the smallest ones,
 * and as many as are small beside the rest of them, so that a record is merged again only when its run has grown by a
 * factor.
 */
export function chooseMerge(sizes: readonly number[], limit: number): readonly number[] {
  if (sizes.length <= limit) return [];
  const descending = sizes.map((_, at) => at).sort((left, right) => (sizes[right] ?? 0) - (sizes[left] ?? 0));
  let smaller = sizes.reduce((sum, size) => sum + size, 0);
  for (const [at, place] of descending.entries()) {
    const size = sizes[place] ?? 0;
    smaller -= size;
    if (at === limit - 1 || size < smaller) return descending.slice(at);
  }
  return [];
}
