import { CHUNK_ID_BYTES, INDEX_RECORD_BYTES, recordField } from '../format/index-object.ts';
import type { Run } from '../../core/run.ts';
import { must } from '../../core/must.ts';
import type { RecordBatch } from './chunk-index.ts';
import { compareIds } from './chunk-key.ts';
import type { RecordSource } from './record-source.ts';
import { copyRecord } from './record.ts';

const BATCH_RECORDS = 4096;
/** Room beyond a full batch, so that the places of one id stay together and each comes once. */
const SPARE_RECORDS = 256;

/** Records in memory, sorted; `pack` is a number of the pack table already. */
export class MemorySource implements RecordSource {
  readonly view: DataView;
  offset = 0;
  #started = false;

  constructor(sorted: Uint8Array) {
    this.view = new DataView(sorted.buffer, sorted.byteOffset, sorted.byteLength);
  }

  advance(): boolean {
    this.offset += INDEX_RECORD_BYTES;
    return this.offset < this.view.byteLength;
  }

  async fill(): Promise<boolean> {
    const first = !this.#started;
    this.#started = true;
    return first && this.view.byteLength > 0;
  }

  packNumber(): number {
    return this.view.getUint32(this.offset + recordField.pack, true);
  }
}

/**
 * All records of the sources, ascending by id, each place of an id once. Memory: a window a source and one batch.
 * Yields to the event loop at each window that is read. @throws FAILED when a source is damaged
 */
export async function* mergeRecords(sources: readonly RecordSource[], run: Run): AsyncGenerator<RecordBatch> {
  const batch = new Batch();
  const live: RecordSource[] = [];
  const heads: number[] = [];
  for (const source of sources) {
    if (!(await source.fill(run))) continue;
    live.push(source);
    heads.push(source.view.getUint32(source.offset));
  }
  while (live.length > 0) {
    const at = smallest(live, heads);
    const source = must(live[at], 'a source at the place of the smallest');
    if (batch.isFull(source)) {
      yield batch.take();
      batch.clear();
    }
    batch.add(source);
    if (source.advance() || (await source.fill(run))) {
      heads[at] = source.view.getUint32(source.offset);
      continue;
    }
    live.splice(at, 1);
    heads.splice(at, 1);
  }
  if (batch.count > 0) yield batch.take();
}

function smallest(sources: readonly RecordSource[], heads: readonly number[]): number {
  let best = 0;
  let bestHead = heads[0] ?? 0;
  for (let at = 1; at < heads.length; at += 1) {
    const head = heads[at] ?? 0;
    if (head > bestHead || (head === bestHead && compareCurrent(sources, at, best) >= 0)) continue;
    best = at;
    bestHead = head;
  }
  return best;
}

function compareCurrent(sources: readonly RecordSource[], left: number, right: number): number {
  const [one, other] = [must(sources[left], 'a source'), must(sources[right], 'a source')];
  return compareIds(one.view, one.offset, other.view, other.offset);
}

class Batch {
  readonly #bytes = new Uint8Array((BATCH_RECORDS + SPARE_RECORDS) * INDEX_RECORD_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  count = 0;
  /** Where the records of the last id begin. */
  #group = 0;

  /** Whether the batch must be handed on before the source's record comes. */
  isFull(source: RecordSource): boolean {
    if (this.count < BATCH_RECORDS) return false;
    return this.count === BATCH_RECORDS + SPARE_RECORDS || !this.#continues(source);
  }

  add(source: RecordSource): void {
    const at = this.count * INDEX_RECORD_BYTES;
    if (!this.#continues(source)) this.#group = at;
    copyRecord(source.view, source.offset, this.#view, at);
    this.#view.setUint32(at + recordField.pack, source.packNumber(), true);
    for (let other = this.#group; other < at; other += INDEX_RECORD_BYTES) {
      if (samePlace(this.#view, other, at)) return;
    }
    this.count += 1;
  }

  take(): RecordBatch {
    return { bytes: this.#bytes.subarray(0, this.count * INDEX_RECORD_BYTES), view: this.#view, count: this.count };
  }

  clear(): void {
    this.count = 0;
    this.#group = 0;
  }

  #continues({ view, offset }: RecordSource): boolean {
    return this.count > 0 && compareIds(this.#view, (this.count - 1) * INDEX_RECORD_BYTES, view, offset) === 0;
  }
}

function samePlace(view: DataView, left: number, right: number): boolean {
  for (let at = CHUNK_ID_BYTES; at < INDEX_RECORD_BYTES; at += 4) {
    if (view.getInt32(left + at) !== view.getInt32(right + at)) return false;
  }
  return true;
}
