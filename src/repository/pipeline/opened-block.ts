import { unsealBlock } from '../format/pack.ts';
import type { PackSecret } from '../format/pack.ts';
import { openBlock } from './block.ts';

/** The chunks of a block, one after another, in memory of their own: `dispose` gives it back at once, and `bytes` are empty then. */
export class OpenedBlock implements Disposable {
  readonly bytes: Uint8Array;

  /** @throws REPOSITORY_DAMAGED */
  constructor(sealed: {
    readonly secret: PackSecret;
    readonly number: number;
    readonly sealed: Uint8Array;
    readonly what: string;
  }) {
    const plain = unsealBlock(sealed);
    this.bytes = openBlock(plain);
    if (this.bytes.buffer !== plain.buffer) giveBack(plain);
  }

  [Symbol.dispose](): void {
    giveBack(this.bytes);
  }
}

/** Garbage collection would keep blocks of a MiB each for long. */
function giveBack({ buffer }: Uint8Array): void {
  // Small results lie in a pool that others use.
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0);
}
