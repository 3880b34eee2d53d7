import { randomBytes } from 'node:crypto';
import { openSync, writeSync } from 'node:fs';
import { must } from '../../src/core/must.ts';
import type { Position } from '../../src/core/position.ts';
import type { Observation } from '../../src/core/recorder.ts';
import type { Run, Runtime } from '../../src/core/run.ts';
import { openFilesRecorder } from '../../src/connectors/files/recorder.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { readContent } from '../../src/testing/tree/memory-base.ts';

/*
 * Observes a folder until it is killed, and appends each observation, as a line, to a file that stands for a repository. The line is there before the
 * observation is acknowledged. Arguments: folder, state folder, file, position to go on from as JSON.
 */

const run: Run = { signal: new AbortController().signal };
const runtime: Runtime = {
  clock: createSystemClock(),
  random: (sizeBytes) => randomBytes(sizeBytes),
  logger: { log: () => {} },
  temporaryFolder: '/nowhere',
};

const [root = '', stateFolder = '', file = '', position = ''] = process.argv.slice(2);

async function toldBy(observation: Observation): Promise<string> {
  const entries: (readonly [name: string, content: string])[] = [];
  for await (const batch of observation.entries) {
    for (const entry of batch) {
      const { content } = entry.describe();
      const bytes = content === undefined ? new Uint8Array(0) : await readContent(content, run);
      entries.push([Buffer.from(entry.name).toString('latin1'), Buffer.from(bytes).toString('latin1')]);
    }
  }
  const removed = observation.removed.map((name) => Buffer.from(name).toString('latin1'));
  return JSON.stringify({ entries, removed, position: (await observation.finish(run)).cut });
}

async function main(): Promise<void> {
  // What the parent wrote.
  const after = JSON.parse(position) as Position;
  const store = {
    folder: root,
    include: [],
    exclude: [],
    oneFileSystem: false,
    cacheDirTag: false,
    excludeFolders: [],
  };
  const recorder = openFilesRecorder(store, { runtime, previous: after, stateFolder });
  const log = await must(recorder.openObservations, 'observations').call(recorder, after, run);
  const lines = openSync(file, 'a');
  for (let looks = 0; ; looks++) {
    await log.changed(run);
    try {
      await using observation = await log.observe(run);
      if (observation === undefined) continue;
      const line = await toldBy(observation);
      writeSync(lines, `${line}\n`);
      if (looks % 3 > 0) log.acknowledge((JSON.parse(line) as { readonly position: Position }).position);
    } catch (error) {
      // A file that vanished or changed while it was read: the observation is told again.
      if (!(error instanceof Error) || error.name === 'TidemarkError') throw error;
    }
  }
}

await main();
