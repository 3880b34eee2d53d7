const DURATION_UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const SIZE_UNITS_BYTES = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;

export const DURATION_PATTERN = /^[0-9]{1,9}(?:s|m|h|d)$/;
export const SIZE_PATTERN = /^[0-9]{1,12}(?:B|KiB|MiB|GiB|TiB)$/;

/** Milliseconds of `5s`, `15m`, `36h` or `14d`; undefined when `text` is no duration or not a safe number of milliseconds. */
export function parseDuration(text: string): number | undefined {
  if (!DURATION_PATTERN.test(text)) return undefined;
  return scaled(text, DURATION_UNITS_MS);
}

/** Bytes of `512B`, `64KiB`, `8MiB`, `1GiB` or `2TiB`; undefined when `text` is no size or not a safe number of bytes. */
export function parseSize(text: string): number | undefined {
  if (!SIZE_PATTERN.test(text)) return undefined;
  return scaled(text, SIZE_UNITS_BYTES);
}

/** A duration as the manifest writes it, in the largest unit that leaves no rest. `ms` is a whole number of seconds. */
export function writeDuration(ms: number): string {
  return written(ms, DURATION_UNITS_MS, 's');
}

/** A size as the manifest writes it, in the largest unit that leaves no rest. */
export function writeSize(bytes: number): string {
  return written(bytes, SIZE_UNITS_BYTES, 'B');
}

function scaled(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const digits = /^[0-9]+/.exec(text)?.[0] ?? '';
  const factor = units[text.slice(digits.length)];
  if (factor === undefined) return undefined;
  const value = Number(digits) * factor;
  return Number.isSafeInteger(value) ? value : undefined;
}

function written(value: number, units: Readonly<Record<string, number>>, smallest: string): string {
  const [unit, factor] = Object.entries(units).findLast(([, size]) => value >= size && value % size === 0) ?? [
    smallest,
    1,
  ];
  return `${value / factor}${unit}`;
}
