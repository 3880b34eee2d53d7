export const SLOT_COUNT = 16_384;

/** From the first to the last, both inclusive. */
export type SlotRange = readonly [first: number, last: number];

const [OPEN, CLOSE] = [0x7b, 0x7d];
const POLYNOMIAL = 0x1021;

const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 8;
  for (let bit = 0; bit < 8; bit += 1) value = value & 0x8000 ? (value << 1) ^ POLYNOMIAL : value << 1;
  return value;
});

/** The slot of a key: of what stands in its first braces, where that is not empty, else of all of it. */
export function slotOf(key: Uint8Array): number {
  const open = key.indexOf(OPEN);
  const close = open < 0 ? -1 : key.indexOf(CLOSE, open + 1);
  const [from, to] = close > open + 1 ? [open + 1, close] : [0, key.byteLength];
  let crc = 0;
  for (let at = from; at < to; at += 1) crc = ((crc << 8) & 0xffff) ^ (TABLE[(crc >> 8) ^ (key[at] ?? 0)] ?? 0);
  return crc % SLOT_COUNT;
}

/** `0-5460` or `7`; undefined for what is none. */
export function parseSlotRange(text: string): SlotRange | undefined {
  const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  if (first === undefined) return undefined;
  const range = [Number(first), Number(last)] as const;
  return range[0] <= range[1] && range[1] < SLOT_COUNT ? range : undefined;
}

/** What `showSlotRanges` writes, as far as it is that. */
export function parseSlotRanges(text: string): readonly SlotRange[] {
  return text.split(',').flatMap((part) => {
    const range = parseSlotRange(part);
    return range === undefined ? [] : [range];
  });
}

export function showSlotRanges(ranges: readonly SlotRange[]): string {
  return ranges.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(',');
}

/** Who has each slot, by index; -1 for nobody. Of two who claim one the later one has it. */
export function ownersOf(claims: readonly (readonly SlotRange[])[]): Int32Array {
  const owners = new Int32Array(SLOT_COUNT).fill(-1);
  for (const [owner, ranges] of claims.entries()) {
    for (const [first, last] of ranges) owners.fill(owner, first, last + 1);
  }
  return owners;
}

/** Two of them claim the same slot. */
export function isClaimedTwice(claims: readonly (readonly SlotRange[])[]): boolean {
  const claimed = claims.flat().reduce((sum, [first, last]) => sum + last - first + 1, 0);
  return claimed > ownersOf(claims).filter((owner) => owner >= 0).length;
}
