import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { suite, test } from 'node:test';
import type { Runtime } from '../../core/run.ts';
import { createSystemClock } from '../../flow/clock.ts';
import { createSeededRandom } from '../../flow/random.ts';
import { nativeAvailable } from '../../io/native.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { ScratchFiles } from './scratch-files.ts';

function runtimeIn(folder: string): Runtime {
  const random = createSeededRandom(1);
  return {
    clock: createSystemClock(),
    random: (sizeBytes) => random.bytes(sizeBytes),
    logger: { log: () => undefined },
    temporaryFolder: folder,
  };
}

suite('files in which bases wait', () => {
  test('are gone when they are disposed, with the folder that was made for them', async () => {
    await using temporary = temporaryFolder();
    const files = await ScratchFiles.open({ runtime: runtimeIn(temporary.path) });
    writeFileSync(files.next(), 'an RDB');
    await files[Symbol.asyncDispose]();
    assert.deepEqual(readdirSync(temporary.path), []);
  });

  test('that a killed process left are removed by the next, those of one that lives are not', {
    skip: nativeAvailable() ? false : 'needs native calls',
  }, async () => {
    await using temporary = temporaryFolder();
    const runtime = runtimeIn(temporary.path);
    // What is left of a process: its files, and nobody who has the lock.
    const left = temporary.at(`tidemark-redis-${'a'.repeat(16)}`);
    mkdirSync(left);
    writeFileSync(`${left}/lock`, '');
    writeFileSync(`${left}/base-${'b'.repeat(16)}.rdb`, 'an RDB');
    const foreign = ['tidemark-redis-mine', `tidemark-redis-${'c'.repeat(16)}`];
    mkdirSync(temporary.at('elsewhere'));
    writeFileSync(temporary.at('elsewhere', 'lock'), '');
    mkdirSync(temporary.at('tidemark-redis-mine'));
    symlinkSync(temporary.at('elsewhere'), temporary.at(`tidemark-redis-${'c'.repeat(16)}`));

    await using living = await ScratchFiles.open({ runtime });
    writeFileSync(living.next(), 'an RDB');
    await using _next = await ScratchFiles.open({ runtime });
    const kept = basename(dirname(living.next()));
    const found = readdirSync(temporary.path);
    assert.ok(!found.includes(basename(left)));
    for (const name of [...foreign, 'elsewhere', kept]) assert.ok(found.includes(name), name);
    assert.equal(readdirSync(dirname(living.next())).length, 2);
    assert.deepEqual(readdirSync(temporary.at('elsewhere')), ['lock']);
  });

  test('that a killed process left in the folder of a history are removed', async () => {
    await using folder = temporaryFolder();
    writeFileSync(folder.at(`base-${'b'.repeat(16)}.rdb`), 'an RDB');
    writeFileSync(folder.at('something else'), '');
    await using _files = await ScratchFiles.open({ runtime: runtimeIn('/nowhere'), stateFolder: folder.path });
    assert.deepEqual(readdirSync(folder.path), ['something else']);
  });
});
