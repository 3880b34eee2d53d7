import type { Connector } from '../../core/connector.ts';

/** What the code of a kind of store knows of what it has stored. */
export type Decoder = Pick<Connector<unknown>, 'log' | 'checkEntry' | 'checkContents'>;

/** By the name of the kind; undefined for one that is not known here. */
export type DecoderOf = (kind: string) => Promise<Decoder | undefined>;

/** `what`: an entry with its store, or a store. */
export function undecodableText(what: string, reason: string): string {
  return `what is stored of ${what} can’t be decoded, so that a restore fails at it: ${reason}`;
}
