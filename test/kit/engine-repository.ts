import { must } from '../../src/core/must.ts';
import { orderOf } from '../../src/core/position.ts';
import type { Position } from '../../src/core/position.ts';
import type { Base, LogPiece } from '../../src/core/recorder.ts';
import { DEFAULT_CHUNKS } from '../../src/repository/format/header.ts';
import { PayloadBuilder, payloadOf } from '../../src/repository/format/log-payload.ts';
import type { SegmentDraft } from '../../src/repository/journal-writer.ts';
import type { RepositoryWriter } from '../../src/repository/writer.ts';
import { RepositoryFixture } from '../../src/testing/repository-fixture.ts';
import { exportTo } from '../golden/logged-shop.ts';

const FRAME_PIECES = 8;

/** A repository with one store of a server, filled by the product's own writer with what a recorder gave. */
export class EngineRepository implements AsyncDisposable {
  readonly #fixture: RepositoryFixture;
  readonly #writer: RepositoryWriter;
  readonly #connector: 'redis' | 'postgres';

  private constructor(fixture: RepositoryFixture, writer: RepositoryWriter, connector: 'redis' | 'postgres') {
    this.#fixture = fixture;
    this.#writer = writer;
    this.#connector = connector;
  }

  static async create(connector: 'redis' | 'postgres'): Promise<EngineRepository> {
    const fixture = await RepositoryFixture.create(connector, { chunks: DEFAULT_CHUNKS });
    return new EngineRepository(fixture, await fixture.openWriter({ writer: 'test' }), connector);
  }

  async base(base: Base): Promise<void> {
    const connector = this.#connector;
    await this.#writer.writeBase(
      {
        store: 'main',
        history: 'main',
        exact: 'position',
        connector,
        url: `${connector}://server`,
        base,
        manifest: 'application: test\n',
        allowEmpty: true,
        onProgress: () => undefined,
      },
      this.#fixture.run,
    );
  }

  /** Pieces that follow on each other, as one segment. */
  async log(after: Position, pieces: readonly LogPiece[]): Promise<void> {
    const segments = [this.#segmentOf(after, pieces)];
    await this.#writer.putJournal({ marks: [], segments, gaps: [] }, this.#fixture.run);
  }

  /** Its id. */
  async mark(position: Position): Promise<string> {
    const mark = { ...this.#fixture.markOf(new Map()), positions: { main: position } };
    await this.#writer.putJournal({ marks: [mark], segments: [], gaps: [] }, this.#fixture.run);
    await this.#fixture.clock.advance(1_000);
    return mark.id;
  }

  async export(path: string): Promise<void> {
    await this.#writer.end(this.#fixture.run);
    exportTo(this.#fixture.memory, path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer[Symbol.asyncDispose]();
    await this.#fixture[Symbol.asyncDispose]();
  }

  #segmentOf(after: Position, pieces: readonly LogPiece[]): SegmentDraft {
    const frames: Uint8Array[] = [];
    let last = after;
    for (let at = 0; at < pieces.length; at += FRAME_PIECES) {
      const builder = new PayloadBuilder();
      const some = pieces.slice(at, at + FRAME_PIECES);
      for (const piece of some) builder.piece(piece);
      frames.push(this.#writer.sealFrame('main', payloadOf(last, [builder.takePieces()])));
      last = must(some.at(-1)?.commit, 'a commit').position;
    }
    return {
      store: 'main',
      history: 'main',
      after,
      upTo: last,
      fromMs: pieces[0]?.commit?.atMs ?? 0,
      toMs: pieces.at(-1)?.commit?.atMs ?? 0,
      changes: pieces.length,
      packs: [],
      frames: Buffer.concat(frames),
    };
  }
}

/** What of a log goes up to a position, which one of its commits has. */
export function upTo(pieces: readonly LogPiece[], position: Position): readonly LogPiece[] {
  return pieces.filter(({ commit, changes }) => changes.length > 0 && (commit?.position.order ?? '') <= position.order);
}

/** What of it comes behind. */
export function behind(pieces: readonly LogPiece[], position: Position): readonly LogPiece[] {
  return pieces.filter(({ commit, changes }) => changes.length > 0 && (commit?.position.order ?? '') > position.order);
}

/** The position of a byte of Redis' stream. */
export function streamPosition(like: Position, offset: bigint): Position {
  const [replId = ''] = like.resume.split(':');
  return { ...like, order: orderOf(offset), resume: `${replId}:${offset}` };
}
