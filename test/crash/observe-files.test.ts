import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { randomBytes, randomInt } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Position } from '../../src/core/position.ts';
import type { Runtime } from '../../src/core/run.ts';
import { openFilesRecorder } from '../../src/connectors/files/recorder.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import { recordInMemory } from '../../src/testing/tree/memory-base.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';

const ROUNDS = process.env['TIDEMARK_TEST_LEVEL'] === 'full' ? 20 : 5;
const CHILD = join(import.meta.dirname, 'observe-files-child.ts');
const run = { signal: new AbortController().signal };
const runtime: Runtime = {
  clock: createSystemClock(),
  random: (sizeBytes) => randomBytes(sizeBytes),
  logger: { log: () => {} },
  temporaryFolder: '/nowhere',
};

type Line = {
  readonly entries: readonly (readonly [name: string, content: string])[];
  readonly removed: readonly string[];
  readonly position: Position;
};

/** The last line may be cut off: it is not in the repository. */
function linesOf(path: string): readonly Line[] {
  const text = readFileSync(path, 'utf8');
  const lines = text.split('\n').slice(0, -1);
  writeFileSync(path, lines.map((line) => `${line}\n`).join(''));
  // The child wrote them.
  return lines.map((line) => JSON.parse(line) as Line);
}

function linesIn(path: string): number {
  return readFileSync(path, 'utf8').split('\n').length - 1;
}

function edit(root: string, random: SeededRandom): void {
  const folder = `${root}/folder-${random.integer(6)}`;
  const path = `${folder}/file-${random.integer(10)}`;
  if (random.chance(0.1)) rmSync(folder, { recursive: true, force: true });
  else if (random.chance(0.3)) rmSync(path, { force: true });
  else {
    mkdirSync(folder, { recursive: true });
    writeFileSync(path, Buffer.from(random.bytes(4)).toString('hex'));
  }
}

function filesIn(root: string): ReadonlyMap<string, string> {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' });
  const files = names.filter((name) => statSync(`${root}/${name}`).isFile());
  return new Map(files.map((name) => [name, readFileSync(`${root}/${name}`, 'utf8')]));
}

test('an observer that is killed at any moment goes on behind what the repository has, and misses nothing', async (t) => {
  const seed = randomInt(2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const random = createSeededRandom(seed);
  await using folder = temporaryFolder();
  const [root, state, lines] = [folder.at('store'), folder.at('state'), folder.at('lines')];
  mkdirSync(root);
  mkdirSync(state);
  for (let edits = 0; edits < 50; edits++) edit(root, random);
  const store = {
    folder: root,
    include: [],
    exclude: [],
    oneFileSystem: false,
    cacheDirTag: false,
    excludeFolders: [],
  };
  const held = new Map([...filesIn(root)].map(([name, text]) => [name.replaceAll('/', '\0'), text]));
  let position: Position;
  {
    await using recorder = openFilesRecorder(store, { runtime, stateFolder: state });
    await using base = await recorder.openBase(run);
    ({ cut: position } = (await recordInMemory(base, run)).end);
  }
  writeFileSync(lines, '');
  for (let round = 0; round <= ROUNDS; round++) {
    const before = linesOf(lines).length;
    const child = spawn(process.execPath, [CHILD, root, state, lines, JSON.stringify(position)], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const ended = once(child, 'exit');
    const isLast = round === ROUNDS;
    for (let edits = 0; edits < 300 && child.exitCode === null; edits++) {
      edit(root, random);
      await sleep(random.integer(3));
      if (isLast || edits < 100 || linesIn(lines) <= before) continue;
      if (random.chance(0.05)) break;
    }
    writeFileSync(`${root}/end-${round}`, 'of the round');
    while (isLast && !readFileSync(lines, 'utf8').includes(`end-${round}`) && child.exitCode === null) await sleep(10);
    child.kill('SIGKILL');
    await ended;
    assert.equal(child.signalCode, 'SIGKILL');
    for (const line of linesOf(lines).slice(before)) {
      assert.ok(line.position.order > position.order, 'positions go on');
      for (const name of line.removed) held.delete(name);
      for (const [name, content] of line.entries) held.set(name, content);
      ({ position } = line);
    }
  }
  const files = filesIn(root);
  const names = [...files.keys()].map((name) => name.replaceAll('/', '\0'));
  for (const name of names) assert.equal(held.get(name), files.get(name.replaceAll('\0', '/')), name);
  const there = new Set([...names, ...readdirSync(root).filter((name) => name.startsWith('folder'))]);
  assert.deepEqual(
    [...held.keys()].filter((name) => name !== '' && !there.has(name)),
    [],
  );
});
