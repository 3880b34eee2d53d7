import type { InfoFields } from '../link/replication-info.ts';
import { parseSlotRange } from './slots.ts';
import type { SlotRange } from './slots.ts';

/*
 * Valkey 9 moves slots at once: the source gives the target all their keys, and what is done to them meanwhile, by a link of their own; then the target has
 * the slots in one step, and the source removes the keys. In the target's stream all of it stands between two commands.
 */

/** `begun`: from here on a shard takes in slots. `ended`: it has them, or has given up and removed their keys. */
export type SlotMove =
  | { readonly kind: 'begun'; readonly name: string; readonly ranges: readonly SlotRange[] }
  | { readonly kind: 'ended'; readonly name: string; readonly hasMoved: boolean };

/** Whose words a server has for moves at once. */
export type MoveWords = 'valkey' | 'redis';

/** By `INFO server`. Undefined where it has none: then what looks like one is somebody's value. */
export function moveWordsOf(fields: InfoFields): MoveWords | undefined {
  const valkey = fields.get('valkey_version');
  const [major = 0, minor = 0] = (valkey ?? fields.get('redis_version') ?? '').split('.').map(Number);
  if (valkey !== undefined) return major >= 9 ? 'valkey' : undefined;
  return major > 8 || (major === 8 && minor >= 4) ? 'redis' : undefined;
}

/** In whatever stands for such a move. */
export const SLOT_MOVE = Buffer.from('SYNCSLOTS');

/** What a command says of a move; undefined where that changes nothing. */
export function slotMoveOf(args: readonly Uint8Array[]): SlotMove | undefined {
  const words = args.map((arg) => Buffer.from(arg).toString('latin1'));
  const [name = '', container = '', verb = '', ...more] = words;
  if (name.toUpperCase() !== 'CLUSTER' || container.toUpperCase() !== 'SYNCSLOTS') return undefined;
  const options = new Map<string, string>();
  const ranges: SlotRange[] = [];
  for (let at = 0; at < more.length; ) {
    const option = (more[at] ?? '').toUpperCase();
    at += 1;
    if (option !== 'SLOTSRANGE') {
      options.set(option, more[at] ?? '');
      at += 1;
      continue;
    }
    for (; /^\d+$/.test(more[at] ?? ''); at += 2) {
      const range = parseSlotRange(`${more[at]}-${more[at + 1]}`);
      if (range !== undefined) ranges.push(range);
    }
  }
  const job = options.get('NAME');
  if (job === undefined) return undefined;
  if (verb.toUpperCase() === 'ESTABLISH') return { kind: 'begun', name: job, ranges };
  if (verb.toUpperCase() !== 'FINISH') return undefined;
  return { kind: 'ended', name: job, hasMoved: options.get('STATE')?.toUpperCase() === 'SUCCESS' };
}

/** The slot that a master empties by `CLUSTER FLUSHSLOT`, which is told as it is and not as what it removes. Undefined for other commands. */
export function flushedSlotOf(args: readonly Uint8Array[]): number | undefined {
  const [name, verb, slot = ''] = args.slice(0, 3).map((arg) => Buffer.from(arg).toString('latin1').toUpperCase());
  return name === 'CLUSTER' && verb === 'FLUSHSLOT' ? parseSlotRange(slot)?.[0] : undefined;
}
