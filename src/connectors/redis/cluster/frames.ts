/*
 * The log of a cluster is bytes: frames one after another, each a part of the stream of one shard.
 * Shard (2 bytes), where in its stream the part begins (8), how long it is (4), all big-endian; then the part.
 */

export const FRAME_HEADER_BYTES = 14;

export type Frame = { readonly shard: number; readonly offset: bigint; readonly bytes: Uint8Array };

export function encodeFrame({ shard, offset, bytes }: Frame): Uint8Array {
  const framed = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES + bytes.byteLength);
  framed.writeUInt16BE(shard, 0);
  framed.writeBigUInt64BE(offset, 2);
  framed.writeUInt32BE(bytes.byteLength, 10);
  framed.set(bytes, FRAME_HEADER_BYTES);
  return framed;
}

/** Takes frames out of the bytes of a log, in whatever pieces they come: a part that is cut off is given as far as it goes. */
export class FrameReader {
  #header = Buffer.alloc(0);
  #open: { shard: number; offset: bigint; left: number } | undefined;

  *push(piece: Uint8Array): Generator<Frame> {
    let rest = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    while (rest.byteLength > 0) {
      if (this.#open === undefined) {
        const missing = FRAME_HEADER_BYTES - this.#header.byteLength;
        this.#header = Buffer.concat([this.#header, rest.subarray(0, missing)]);
        rest = rest.subarray(missing);
        if (this.#header.byteLength < FRAME_HEADER_BYTES) return;
        const [shard, offset, left] = [
          this.#header.readUInt16BE(0),
          this.#header.readBigUInt64BE(2),
          this.#header.readUInt32BE(10),
        ];
        this.#header = Buffer.alloc(0);
        if (left === 0) yield { shard, offset, bytes: new Uint8Array(0) };
        else this.#open = { shard, offset, left };
        continue;
      }
      const open = this.#open;
      const bytes = rest.subarray(0, open.left);
      rest = rest.subarray(bytes.byteLength);
      yield { shard: open.shard, offset: open.offset, bytes };
      open.offset += BigInt(bytes.byteLength);
      open.left -= bytes.byteLength;
      if (open.left === 0) this.#open = undefined;
    }
  }
}
