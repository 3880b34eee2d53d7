import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RepositoryFixture } from '../testing/repository-fixture.ts';
import { loadCatalogue } from './catalogue.ts';
import { RecordMemo } from './records/record-memo.ts';
import { listRuns, maintainerRuns, putRun } from './runs.ts';

const STORE = { uploads: new Map([['a', { attributes: Buffer.from('x'), content: Buffer.from('content') }]]) };

async function list(fixture: RepositoryFixture): Promise<readonly (readonly unknown[])[]> {
  const catalogue = await loadCatalogue(fixture.owner, [], fixture.run);
  const nowMs = await fixture.memory.nowMs(fixture.run);
  return listRuns(fixture.owner, catalogue, nowMs).map(({ command, outcome, code, host }) => [
    command,
    outcome,
    code,
    host,
  ]);
}

test('runs are listed newest first, with how they ended', async () => {
  await using fixture = await RepositoryFixture.create();
  await fixture.backup({ writer: 'anna', stores: STORE });
  const access = await fixture.maintainerAccess();
  const catalogue = await loadCatalogue(access, [], fixture.run);
  const info = { application: 'test', host: 'bert', command: 'verify', tool: 'tidemark test' };
  const body = { command: 'verify', startedAtMs: fixture.clock.nowMs(), durationMs: 5, summary: {} };
  await putRun({ access, info, catalogue, body: { ...body, outcome: 'failed', code: 'DISK_FULL' } }, fixture.run);
  assert.deepEqual(await list(fixture), [
    ['verify', 'failed', 'DISK_FULL', 'bert'],
    ['backup', 'done', undefined, 'anna'],
  ]);
});

test('a session that never said how it ended is running, and cut off when it is silent for long', async () => {
  await using fixture = await RepositoryFixture.create();
  await fixture.backup({ writer: 'anna', stores: STORE, isCutOff: true });
  assert.deepEqual(await list(fixture), [['backup', 'running', undefined, 'anna']]);
  await fixture.clock.advance(2 * fixture.owner.header.leaseMs + 1_000);
  assert.deepEqual(await list(fixture), [['backup', 'cut off', undefined, 'anna']]);
});

test('runs of maintainers come newest first, and no record is opened before it is asked for', async () => {
  await using fixture = await RepositoryFixture.create();
  const access = await fixture.maintainerAccess();
  const info = { application: 'test', host: 'bert', command: 'verify', tool: 'tidemark test' };
  for (const outcome of ['first', 'second', 'third']) {
    await fixture.backup({ writer: 'anna', stores: STORE });
    const catalogue = await loadCatalogue(access, [], fixture.run);
    const body = { command: 'verify', startedAtMs: fixture.clock.nowMs(), durationMs: 5, summary: {}, outcome };
    await putRun({ access, info, catalogue, body }, fixture.run);
  }
  const catalogue = await loadCatalogue(fixture.owner, [], fixture.run);
  const opened: string[] = [];
  const memo = new RecordMemo();
  const noting: Pick<RecordMemo, 'section'> = {
    section(key, sizeBytes, open) {
      opened.push(key);
      return memo.section(key, sizeBytes, open);
    },
  };
  const runs = maintainerRuns({ ...fixture.owner, memo: Object.assign(new RecordMemo(), noting) }, catalogue);
  const outcomes: string[] = [];
  for (const { outcome } of runs) {
    outcomes.push(outcome);
    assert.equal(opened.length, outcomes.length);
  }
  assert.deepEqual(outcomes, ['third', 'second', 'first']);
});
