import { toHex } from '../../core/bytes.ts';
import { undecodable } from '../../core/entry-check.ts';
import type { EntryCheck } from '../../core/entry-check.ts';
import { ByteRuns } from '../../core/log-bytes.ts';
import type { LoggedTransaction } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { startedAhead } from '../../flow/started-ahead.ts';
import type { RepositoryAccess } from '../access.ts';
import { nodeContentOf } from '../base-reader.ts';
import { damaged, isDamage } from '../format/byte-cursor.ts';
import { readBody } from '../journal-writer.ts';
import { BODIES_AHEAD, placeOf, readSegment } from '../log-reader.ts';
import type { SegmentRecord } from '../log-view.ts';
import type { Affected } from './affected.ts';
import type { DamageList } from './damage.ts';
import { undecodableText } from './decoding.ts';
import type { Decoder } from './decoding.ts';
import type { TreeProblem } from './tree-check.ts';
import type { WriterCheck } from './writer-check.ts';

export type LogCheckOptions = {
  readonly access: RepositoryAccess;
  readonly writer: WriterCheck;
  readonly affected: Affected;
  readonly damage: DamageList;
  /** Whether the frames of this segment are read; else only that they are there. */
  readonly readsData: () => boolean;
  /** Of the store of a history; undefined where that is not known. */
  readonly decoderOf: (history: string) => Decoder | undefined;
};

/** Checks segments of one writer's logs, once its packs have been checked. */
export class LogCheck {
  readonly #options: LogCheckOptions;

  constructor(options: LogCheckOptions) {
    this.#options = options;
  }

  async all(segments: readonly SegmentRecord[], run: Run): Promise<void> {
    const sizes = await this.#sizesOf(segments, run);
    const { access, readsData } = this.#options;
    const read = async (segment: SegmentRecord): Promise<Uint8Array | undefined> => {
      if (readsData()) return await readBody(access, segment, run);
      await this.#look(segment, sizes, run);
      return undefined;
    };
    for (const { item, result } of startedAhead(segments, BODIES_AHEAD, read)) await this.#one(item, result, run);
  }

  /** `looked`: its body where it is read. */
  async #one(segment: SegmentRecord, looked: Promise<Uint8Array | undefined>, run: Run): Promise<void> {
    run.signal.throwIfAborted();
    const { writer, affected, damage } = this.#options;
    const blamed = new Set<string>();
    try {
      const body = await looked;
      if (body !== undefined) await this.#read(segment, { body, blamed }, run);
    } catch (error) {
      if (!isDamage(error) || !(error instanceof Error)) throw error;
      const kind = segment.body === undefined ? 'journal' : 'log';
      const marks = affected.marksOn(segment);
      damage.add({ object: placeOf(segment), kind, message: error.message, base: segment.key, marks });
    }
    for (const { key, isOpen } of writer.damagedOf(writer.packSet(segment.packs))) {
      // What was in a pack that can't be opened was of this segment: it names no other packs.
      const marks = !isOpen || blamed.has(key) ? affected.marksOn(segment) : [];
      damage.add({ object: key, kind: 'pack', message: '', base: segment.key, marks });
    }
  }

  /** Sizes of the bodies of these segments, as a listing shows them. */
  async #sizesOf(segments: readonly SegmentRecord[], run: Run): Promise<ReadonlyMap<string, number>> {
    const { access, writer } = this.#options;
    const wanted = new Set(segments.filter(({ body }) => body !== undefined).map(placeOf));
    const sizes = new Map<string, number>();
    if (wanted.size === 0) return sizes;
    for await (const batch of access.objects.list(`logs/${writer.credential}/`, '', run)) {
      for (const { key, sizeBytes } of batch) if (wanted.has(key)) sizes.set(key, sizeBytes);
    }
    return sizes;
  }

  async #look(segment: SegmentRecord, sizes: ReadonlyMap<string, number>, run: Run): Promise<void> {
    const { access } = this.#options;
    if (segment.body === undefined) {
      await readBody(access, segment, run);
      return;
    }
    const place = placeOf(segment);
    // A listing may not show yet what was just created.
    const sizeBytes = sizes.get(place) ?? (await access.objects.stat(place, run))?.sizeBytes;
    if (sizeBytes === undefined) throw damaged(place, 'it is gone');
    if (sizeBytes !== segment.storedBytes) {
      throw damaged(place, `it has ${sizeBytes} bytes, and should have ${segment.storedBytes}`);
    }
  }

  async #read(
    segment: SegmentRecord,
    { body, blamed }: { readonly body: Uint8Array; readonly blamed: Set<string> },
    run: Run,
  ): Promise<void> {
    const { access, writer, decoderOf } = this.#options;
    const packs = writer.packSet(segment.packs);
    const decoder = decoderOf(segment.history);
    const onProblem = (problem: TreeProblem): void => {
      blamed.add(this.#noteContent(segment, problem));
    };
    const runs = decoder?.log === 'bytes' ? new ByteRuns(segment.after) : undefined;
    for (const transaction of readSegment(access, segment, body)) {
      if (decoder !== undefined) this.#decode(segment, transaction, { checkEntry: decoder.checkEntry, runs });
      for (const entry of transaction.entries) {
        if ('removed' in entry || entry.content === undefined) continue;
        await writer.content(nodeContentOf(entry.content), entry.name, { packs, onProblem }, run);
      }
    }
  }

  /** `runs`: where its log is bytes. */
  #decode(
    segment: SegmentRecord,
    { entries, commit }: LoggedTransaction,
    { checkEntry, runs }: { readonly checkEntry: EntryCheck; readonly runs: ByteRuns | undefined },
  ): void {
    for (const entry of entries) {
      if (runs !== undefined) {
        this.#noteUndecodable(
          segment,
          undecodable((run) => runs.take(run), entry),
        );
      } else if (!('removed' in entry)) {
        this.#noteUndecodable(segment, undecodable(checkEntry, entry), entry.name);
      }
    }
    this.#noteUndecodable(
      segment,
      undecodable((position) => runs?.commit(position), commit.position),
    );
  }

  #noteUndecodable(segment: SegmentRecord, fault: Error | undefined, name?: Uint8Array): void {
    if (fault === undefined) return;
    const { affected, damage } = this.#options;
    const names = name === undefined ? [] : affected.entriesOf(segment, [{ first: name }]);
    const message = undecodableText(names[0] ?? `the log of ${segment.store}`, fault.message);
    const of = { base: segment.key, marks: affected.marksOn(segment), names };
    damage.add({ object: placeOf(segment), kind: 'entry', message, ...of });
  }

  /** Adds what a segment lacks to what is to blame for it, and returns that. */
  #noteContent(segment: SegmentRecord, problem: TreeProblem): string {
    const { writer, affected, damage } = this.#options;
    const { message, isMissing, kind, id } = problem;
    const closed = [...writer.damagedOf(writer.packSet(segment.packs))].flatMap(({ key, isOpen }) =>
      isOpen ? [] : key,
    );
    const pack = writer.packOf(problem) ?? (isMissing && closed.length === 1 ? closed[0] : undefined);
    const name = kind === 'node' ? 'node' : 'chunk';
    const missing = { object: placeOf(segment), kind: 'log', message: 'contents of its entries are missing' };
    const odd = { object: `${name} ${toHex(id)}`, kind: name, message };
    const blame = pack === undefined ? (isMissing ? missing : odd) : { object: pack, kind: 'pack', message };
    const names = affected.entriesOf(segment, [problem.lost]);
    damage.add({ ...blame, base: segment.key, marks: affected.marksOn(segment), names });
    return blame.object;
  }
}
