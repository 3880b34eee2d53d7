import { orderOf } from '../core/position.ts';
import type { Position } from '../core/position.ts';
import { payloadOf, PayloadBuilder } from '../repository/format/log-payload.ts';
import type { SegmentDraft } from '../repository/journal-writer.ts';
import type { Gap } from '../repository/records/journal-body.ts';
import { newMarkId } from '../repository/mark.ts';
import type { Mark } from '../repository/mark.ts';
import type { RepositoryWriter, WrittenBase } from '../repository/writer.ts';
import { baseOf, RepositoryFixture } from './repository-fixture.ts';

const LEASE_MS = 100 * 24 * 3_600_000;
const ATTRIBUTES = Buffer.from('x');

/** `order` is a count. */
export function positionAt(order: number, lineage = 'a'): Position {
  return { lineage, order: orderOf(order), resume: `${lineage}${order}` };
}

type Piece = {
  readonly lineage?: string;
  readonly after: number;
  readonly commits: readonly (readonly [number, number])[];
};

/** A repository in memory in which a test writes the history of stores, at times of its choice. Entry `n` of a store is written by commit `n`. */
export class LogFixture implements AsyncDisposable {
  readonly repository: RepositoryFixture;
  readonly #writers = new Map<string, RepositoryWriter>();
  readonly #startMs: number;

  private constructor(repository: RepositoryFixture) {
    this.repository = repository;
    this.#startMs = repository.clock.nowMs();
  }

  static async create(): Promise<LogFixture> {
    return new LogFixture(await RepositoryFixture.create('logs', { leaseMs: LEASE_MS }));
  }

  /** So many seconds after the start. */
  at(seconds: number): number {
    return this.#startMs + seconds * 1000;
  }

  /** Lets time pass until then. */
  async waitUntil(seconds: number): Promise<void> {
    await this.repository.clock.advance(this.at(seconds) - this.repository.clock.nowMs());
  }

  /** A base at a position, written at the second. `logFrom`: of one that needs log to be whole. */
  async base(
    store: string,
    options: { readonly at: number; readonly order: number; readonly lineage?: string; readonly logFrom?: number },
    by = 'anna',
  ): Promise<WrittenBase> {
    await this.waitUntil(options.at);
    const cut = positionAt(options.order, options.lineage);
    const logFrom = positionAt(options.logFrom ?? options.order, options.lineage);
    const base = baseOf(new Map([['base', { attributes: ATTRIBUTES }]]), 0);
    const writer = await this.writer(by);
    return await writer.writeBase(
      {
        store,
        history: store,
        exact: 'position',
        connector: 'embedded',
        url: `embedded:${store}`,
        base: { ...base, finish: async (run) => ({ ...(await base.finish(run)), logFrom, cut }) },
        manifest: `application: test\nrepository: ./r\nstores:\n  ${store}: embedded:./${store}\n`,
        allowEmpty: true,
        onProgress: () => undefined,
      },
      this.repository.run,
    );
  }

  /** A piece of log. `commits`: their orders and seconds. */
  async log(store: string, piece: Piece, by = 'anna'): Promise<void> {
    const writer = await this.writer(by);
    await writer.putJournal(
      { marks: [], segments: [segmentOf(writer, store, this.#timed(piece))], gaps: [] },
      this.repository.run,
    );
  }

  async gap(
    gap: Omit<Gap, 'history' | 'fromMs' | 'toMs'> & { readonly from: number; readonly to: number },
    by = 'anna',
  ): Promise<void> {
    const { from, to, ...rest } = gap;
    const writer = await this.writer(by);
    const noted = { ...rest, history: gap.store, fromMs: this.at(from), toMs: this.at(to) };
    await writer.putJournal({ marks: [], segments: [], gaps: [noted] }, this.repository.run);
  }

  /** A mark over places that logs lead to, put at its second. */
  async mark(at: number, mark: Partial<Mark> & Pick<Mark, 'positions'>): Promise<Mark> {
    await this.waitUntil(at);
    const atMs = this.at(at);
    const whole: Mark = {
      id: newMarkId(atMs, this.repository.runtime.random(4)),
      tags: [],
      class: 'clock',
      atMs,
      skewMs: 0,
      bases: {},
      missing: [],
      ...mark,
    };
    const writer = await this.writer('anna');
    await writer.putJournal({ marks: [whole], segments: [], gaps: [] }, this.repository.run);
    return whole;
  }

  async writer(name: string): Promise<RepositoryWriter> {
    const known = this.#writers.get(name);
    if (known !== undefined) return known;
    const writer = await this.repository.openWriter({ writer: name });
    this.#writers.set(name, writer);
    return writer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const writer of this.#writers.values()) await writer[Symbol.asyncDispose]();
    await this.repository[Symbol.asyncDispose]();
  }

  #timed({ commits, ...piece }: Piece): Piece {
    return { ...piece, commits: commits.map(([order, seconds]) => [order, this.at(seconds)]) };
  }
}

function segmentOf(writer: RepositoryWriter, store: string, { lineage, after, commits }: Piece): SegmentDraft {
  const builder = new PayloadBuilder();
  const times = commits.map(([, atMs]) => atMs);
  for (const [order, atMs] of commits) {
    const changes = [{ name: Buffer.from(String(order)), attributes: ATTRIBUTES }];
    builder.piece({ changes, commit: { position: positionAt(order, lineage), atMs } });
  }
  const start = positionAt(after, lineage);
  return {
    store,
    history: store,
    after: start,
    upTo: positionAt(Math.max(...commits.map(([order]) => order)), lineage),
    fromMs: times[0] ?? 0,
    toMs: times.at(-1) ?? 0,
    changes: commits.length,
    packs: [],
    frames: writer.sealFrame(store, payloadOf(start, [builder.takePieces()])),
  };
}
