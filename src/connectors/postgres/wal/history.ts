import { formatLsn, parseLsn } from '../lsn.ts';

/** A timeline ended where another one went on. */
export type TimelineSwitch = { readonly from: number; readonly at: bigint };

/** Name of the file that says where a timeline comes from. */
export function historyName(timeline: number): string {
  return `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
}

/** The timeline whose history a file of this name is; undefined for other names. */
export function parseHistoryName(name: string): number | undefined {
  return /^[0-9A-F]{8}\.history$/.test(name) ? Number.parseInt(name.slice(0, 8), 16) : undefined;
}

export function formatHistory(switches: readonly TimelineSwitch[]): Uint8Array {
  return Buffer.from(switches.map(({ from, at }) => `${from}\t${formatLsn(at)}\tfrom the repository\n`).join(''));
}

/** The switches that a history file tells, oldest first; undefined when it is none. */
export function parseHistory(bytes: Uint8Array): readonly TimelineSwitch[] | undefined {
  const switches: TimelineSwitch[] = [];
  for (const line of Buffer.from(bytes).toString().split('\n')) {
    if (/^\s*(#|$)/.test(line)) continue;
    const [, from = '', place = ''] = /^\s*([0-9]+)\s+(\S+)/.exec(line) ?? [];
    const at = parseLsn(place);
    if (at === undefined) return undefined;
    switches.push({ from: Number(from), at });
  }
  return switches;
}
