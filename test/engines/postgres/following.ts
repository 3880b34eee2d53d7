import type { TestContext } from 'node:test';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { must } from '../../../src/core/must.ts';
import type { Position } from '../../../src/core/position.ts';
import type { Recorder } from '../../../src/core/recorder.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { placeOfUrl, Recording, runtime } from './recording.ts';

type Opened = AsyncDisposable & { readonly recorder: Recorder; readonly recording: Recording };

type Opening = {
  readonly url: string;
  readonly state: string;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly after?: Position;
};

/** A recorder, and what it records: from where it begins, or goes on from. */
export async function opened({ url, state, options, after }: Opening, t: TestContext): Promise<Opened> {
  const run = { signal: t.signal };
  await using left = new AsyncDisposableStack();
  const place = placeOfUrl(url, { options: options ?? {} });
  const recorder = left.use(await openPostgresRecorder(place, { runtime, stateFolder: state, previous: after }, run));
  const from = after ?? (await must(recorder.begin, 'a begin').call(recorder, run));
  const recording = left.use(await Recording.open(recorder, from, run));
  const all = left.move();
  return { recorder, recording, [Symbol.asyncDispose]: () => all[Symbol.asyncDispose]() };
}

export async function headOf(recorder: Recorder, t: TestContext): Promise<Position> {
  return await must(recorder.head, 'a head').call(recorder, { signal: t.signal });
}

/** Records what happened up to now, and leaves. */
export async function recorded(opening: Opening, t: TestContext): Promise<Position> {
  await using now = await opened(opening, t);
  await now.recording.reaches(await headOf(now.recorder, t));
  now.recording.acknowledge();
  await now.recording.next();
  return now.recording.last;
}

/** One server and its standbys. */
export function urlOf(...servers: readonly PostgresServer[]): string {
  return `postgres://postgres@${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}/postgres`;
}
