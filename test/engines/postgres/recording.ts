import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../../../src/core/must.ts';
import type { Position } from '../../../src/core/position.ts';
import type { Log, LogPiece, Recorder } from '../../../src/core/recorder.ts';
import type { Run, Runtime } from '../../../src/core/run.ts';
import { readLogBytes } from '../../../src/core/log-bytes.ts';
import { resolvePlace } from '../../../src/connectors/postgres/place.ts';
import type { PostgresPlace } from '../../../src/connectors/postgres/place.ts';
import { createSystemClock } from '../../../src/flow/clock.ts';

export const runtime: Runtime = {
  clock: createSystemClock(),
  random: (sizeBytes) => randomBytes(sizeBytes),
  logger: { log: () => {} },
  temporaryFolder: '/nowhere',
};

export type PlaceOptions = {
  readonly password?: string;
  readonly options?: Readonly<Record<string, unknown>>;
};

/** As a manifest would have it. */
export function placeOfUrl(url: string, { password, options }: PlaceOptions = {}): PostgresPlace {
  return resolvePlace({
    scheme: 'postgres',
    target: url.replace(/^postgres:/, ''),
    password: async () => password,
    via: [],
    options: { from: 'primary', strategy: 'physical', readAllEvery: 30, ...options },
    leaveOut: [],
  });
}

/** What a log has told so far, held together as an application does. What comes counts as kept on this host unless `keeps` is false. */
export class Recording implements AsyncDisposable {
  readonly pieces: LogPiece[] = [];
  readonly from: Position;
  heartbeats = 0;
  /** What ended it. */
  error: Error | undefined;
  #last: Position;
  readonly #log: Log;
  readonly #done: Promise<void>;
  #changed = Promise.withResolvers<void>();
  #held: PromiseWithResolvers<void> | undefined;
  readonly #stop: AbortController;
  readonly #keeps: boolean;

  private constructor(
    log: Log,
    from: Position,
    { stop, keeps }: { readonly stop: AbortController; readonly keeps: boolean },
  ) {
    this.#keeps = keeps;
    this.#log = log;
    this.from = from;
    this.#last = from;
    this.#stop = stop;
    this.#done = this.#follow();
  }

  static async open(recorder: Recorder, after: Position, run: Run, { keeps = true } = {}): Promise<Recording> {
    const stop = new AbortController();
    const signal = AbortSignal.any([run.signal, stop.signal]);
    const open = must(recorder.openLog, 'a log');
    return new Recording(await open.call(recorder, after, { signal }), after, { stop, keeps });
  }

  get last(): Position {
    return this.#last;
  }

  /** Nothing more is pulled until `release`. */
  hold(): void {
    this.#held ??= Promise.withResolvers();
  }

  release(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  acknowledge(): void {
    this.#log.acknowledge(this.#last);
  }

  /** Resolves once the log has come to a position. @throws what ended it */
  async reaches(position: Position): Promise<void> {
    while (this.#last.order < position.order) await this.next();
  }

  /** Resolves at the next batch. @throws what ended it */
  async next(): Promise<void> {
    if (this.error === undefined) await this.#changed.promise;
    if (this.error instanceof Error) throw this.error;
  }

  /** All that was received, and that it hangs together. */
  bytes(): { readonly start: bigint; readonly bytes: Buffer } {
    const runs = this.pieces.flatMap(({ changes }) =>
      changes.map((change) =>
        readLogBytes('removed' in change ? change : { name: change.name, attributes: change.attributes }),
      ),
    );
    const start = BigInt(this.from.order);
    let at = start;
    for (const run of runs) {
      assert.equal(run.start, at, 'each run of bytes begins where the one before ends');
      at += BigInt(run.bytes.byteLength);
    }
    return { start, bytes: Buffer.concat(runs.map(({ bytes }) => bytes)) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    this.#stop.abort(new Error('the test is over'));
    await this.#log[Symbol.asyncDispose]();
    await this.#done;
  }

  async #follow(): Promise<void> {
    try {
      for await (const batch of this.#log) {
        for (const piece of batch) this.#take(piece);
        if (this.#keeps) this.#log.retention?.onDisk(this.#last);
        this.#tell();
        await this.#held?.promise;
      }
    } catch (error) {
      this.error = error instanceof Error ? error : new Error(String(error));
    }
    this.#tell();
  }

  #take(piece: LogPiece): void {
    const { position } = must(piece.commit, 'a commit');
    assert.equal(position.lineage, this.from.lineage);
    if (piece.changes.length === 0) {
      this.heartbeats++;
      assert.equal(position.order, this.#last.order, 'a heartbeat says where it is');
    } else {
      assert.ok(position.order > this.#last.order, 'commits go on');
      this.pieces.push(piece);
    }
    this.#last = position;
  }

  #tell(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** The segments of the log, up to a position, in a data directory. */
export function writeWal({ pieces }: Pick<Recording, 'pieces'>, folder: string, upTo: string): void {
  const segments = new Map<string, Buffer>();
  for (const { changes, commit } of pieces) {
    const timeline = must(commit, 'a commit').position.resume.split('/')[0] ?? '';
    for (const change of changes) {
      assert.ok(!('removed' in change));
      const { start, bytes } = readLogBytes(change);
      const hex = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, '0');
      const number = start / 0x1000000n;
      const name = hex(BigInt(timeline)) + hex(number / 256n) + hex(number % 256n);
      const segment = segments.get(name) ?? Buffer.alloc(0x1000000);
      const wanted = BigInt(upTo) - start;
      if (wanted <= 0n) continue;
      segment.set(bytes.subarray(0, Number(wanted)), Number(start % 0x1000000n));
      segments.set(name, segment);
    }
  }
  for (const [name, bytes] of segments) writeFileSync(join(folder, 'pg_wal', name), bytes, { mode: 0o600 });
}

/** Whether an error of ours has this code, and speaks of what is expected. */
export function tells(code: string, text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Error, String(error));
    assert.equal('code' in error ? error.code : undefined, code, error.stack);
    assert.match(error.message, text);
    return true;
  };
}
