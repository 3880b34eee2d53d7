/** What all files of a server's log have in common. */
export type WalShape = {
  readonly systemIdentifier: bigint;
  readonly pageBytes: number;
  readonly segmentBytes: number;
  /** Of the server: 13 to 18. */
  readonly majorVersion: number;
};

/** Name of the file that holds the byte at `lsn` as `timeline` wrote it. */
export function segmentName(timeline: number, lsn: bigint, segmentBytes: number): string {
  const perId = 0x1_0000_0000n / BigInt(segmentBytes);
  const number = lsn / BigInt(segmentBytes);
  return [BigInt(timeline), number / perId, number % perId].map(hex8).join('');
}

/** The timeline of a segment file and where it begins; undefined for another name. */
export function parseSegmentName(
  name: string,
  segmentBytes: number,
): { readonly timeline: number; readonly start: bigint } | undefined {
  if (!/^[0-9A-F]{24}$/.test(name)) return undefined;
  const perId = 0x1_0000_0000n / BigInt(segmentBytes);
  const number = BigInt(`0x${name.slice(8, 16)}`) * perId + BigInt(`0x${name.slice(16)}`);
  return { timeline: Number.parseInt(name.slice(0, 8), 16), start: number * BigInt(segmentBytes) };
}

/** Start of the segment or page of `sizeBytes` in which the byte at `lsn` lies. */
export function startOf(lsn: bigint, sizeBytes: number): bigint {
  return lsn - (lsn % BigInt(sizeBytes));
}

function hex8(value: bigint): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}
