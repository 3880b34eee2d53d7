import type { Address } from '../place.ts';
import { parseSlotRange, showSlotRanges } from './slots.ts';
import type { SlotRange } from './slots.ts';

/** A node as another one, or itself, sees it. */
export type ClusterNode = {
  readonly id: string;
  /** Absent where nobody has told yet. */
  readonly host: string | undefined;
  readonly hostname: string | undefined;
  readonly port: number;
  /** The node that says so. */
  readonly isMyself: boolean;
  readonly isMaster: boolean;
  /** It has failed, or is not known well yet. */
  readonly isAway: boolean;
  readonly epoch: bigint;
  readonly slots: readonly SlotRange[];
  /** Of the node that says so: slots are on their way out of it, or into it. */
  readonly isMigrating: boolean;
  readonly isImporting: boolean;
};

/** What CLUSTER NODES answers. */
export function parseClusterNodes(text: string): readonly ClusterNode[] {
  return text
    .split('\n')
    .map((line) => line.trim().split(' '))
    .filter(({ length }) => length >= 8)
    .map(parseNode);
}

function parseNode(words: readonly string[]): ClusterNode {
  const [id = '', address = '', flagList = '', , , , epoch = '0', , ...slots] = words;
  const [, host = '', port = '0', hostname = ''] = /^(.*):(\d+)(?:@\d+)?(?:,([^,]*))?/.exec(address) ?? [];
  const flags = new Set(flagList.split(','));
  return {
    id,
    host: host === '' ? undefined : host,
    hostname: hostname === '' ? undefined : hostname,
    port: Number(port),
    isMyself: flags.has('myself'),
    isMaster: flags.has('master'),
    isAway: flags.has('fail') || flags.has('noaddr') || flags.has('handshake'),
    epoch: BigInt(/^\d+$/.test(epoch) ? epoch : 0),
    slots: slots.flatMap((slot) => {
      const range = parseSlotRange(slot);
      return range === undefined ? [] : [range];
    }),
    isMigrating: slots.some((slot) => slot.includes('->-')),
    isImporting: slots.some((slot) => slot.includes('-<-')),
  };
}

/** Where a node is for whoever reached the one that told of it under `via`. */
export function addressOf(node: ClusterNode, via: Address, prefersName: boolean): Address {
  const told = prefersName ? (node.hostname ?? node.host) : node.host;
  return { host: told ?? via.host, port: node.port };
}

/** Who has which slots, as text: two nodes that say the same agree. */
export function holdingsOf(nodes: readonly ClusterNode[]): string {
  return nodes
    .filter(({ slots }) => slots.length > 0)
    .map(({ id, slots }) => `${id} ${showSlotRanges(slots)}`)
    .toSorted((left, right) => (left < right ? -1 : 1))
    .join('\n');
}

export function newestEpoch(nodes: readonly ClusterNode[]): bigint {
  return nodes.reduce((newest, { epoch }) => (epoch > newest ? epoch : newest), 0n);
}
