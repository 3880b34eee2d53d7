import assert from 'node:assert/strict';
import { lstatSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { must } from '../core/must.ts';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { lockOrBusy, readHolder, tryLock } from './lock.ts';

const backup = { processId: 17, command: 'tidemark backup', sinceMs: Date.UTC(2026, 10, 20, 14, 5) };
const sweep = { processId: 18, command: 'sweep', sinceMs: 0 };

test('a lock has one holder, who is known, until it is disposed', async () => {
  await using folder = temporaryFolder();
  const path = folder.at('lock');
  {
    await using _lock = must(await tryLock(path, backup), 'the lock is free');
    assert.equal(await tryLock(path, sweep), undefined);
    assert.deepEqual(await readHolder(path), backup);
  }
  await using _next = must(await tryLock(path, sweep), 'the lock is free again');
  assert.deepEqual(await readHolder(path), sweep);
  assert.equal(lstatSync(path).mode & 0o777, 0o600);
});

test('whoever finds it taken is told by whom', async () => {
  await using folder = temporaryFolder();
  const path = folder.at('lock');
  await using _lock = await lockOrBusy(path, backup, 'the repository');
  await assert.rejects(lockOrBusy(path, sweep, 'the repository'), {
    code: 'BUSY',
    message: 'the repository is held by process 17 (tidemark backup) since 2026-11-20T14:05:00.000Z',
  });
});

test('a holder that can’t be read is another process', async () => {
  await using folder = temporaryFolder();
  const path = folder.at('lock');
  await using _lock = await lockOrBusy(path, backup, 'x');
  const busy = { code: 'BUSY', message: 'x is held by another process' };
  for (const content of ['', '{"processId":1', 'null', '{"processId":"1","command":"x","sinceMs":0}']) {
    writeFileSync(path, content);
    assert.equal(await readHolder(path), undefined);
    await assert.rejects(lockOrBusy(path, sweep, 'x'), busy);
  }
  writeFileSync(path, '{"processId":1,"command":"a\\u001b[2Jb","sinceMs":1e300}');
  await assert.rejects(lockOrBusy(path, sweep, 'x'), { message: 'x is held by process 1 (a\\x1b[2Jb)' });
});

test('a link is not followed', async () => {
  await using folder = temporaryFolder();
  writeFileSync(folder.at('victim'), 'untouched');
  symlinkSync('victim', folder.at('lock'));
  await assert.rejects(tryLock(folder.at('lock'), backup), { code: 'ELOOP' });
});
