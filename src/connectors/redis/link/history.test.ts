import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isInBacklog, isInHistory, parseResume, partedAt, positionAt, whyLost } from './history.ts';
import type { ReplicationInfo } from './replication-info.ts';

const [OLD, NEW, OTHER] = ['a'.repeat(40), 'b'.repeat(40), 'c'.repeat(40)];

/** Became master after byte 100 of the old id. */
const info: ReplicationInfo = {
  isMaster: true,
  replId: NEW,
  replId2: OLD,
  secondOffset: 101n,
  offset: 500n,
  backlog: { firstOffset: 51n, sizeBytes: 1_000 },
};

test('a place is in the history of a server up to where its ids reach', () => {
  const holds = (replId: string, offset: bigint): boolean => isInHistory({ replId, offset }, info);
  assert.deepEqual([holds(NEW, 500n), holds(NEW, 501n)], [true, false]);
  assert.deepEqual([holds(OLD, 100n), holds(OLD, 101n)], [true, false]);
  assert.equal(holds(OTHER, 1n), false);
});

test('a server that had less than was recorded when it became master has left that history where it did', () => {
  assert.deepEqual(partedAt({ replId: OLD, offset: 130n }, info), { replId: OLD, offset: 100n });
  assert.equal(partedAt({ replId: OLD, offset: 100n }, info), undefined);
  assert.equal(partedAt({ replId: NEW, offset: 900n }, info), undefined);
  assert.equal(partedAt({ replId: OTHER, offset: 130n }, info), undefined);
});

test('what follows a place can be sent when its first byte is kept', () => {
  const keeps = (offset: bigint): boolean => isInBacklog({ replId: OLD, offset }, info);
  assert.deepEqual([keeps(49n), keeps(50n), keeps(500n)], [false, true, true]);
  assert.equal(isInBacklog({ replId: OLD, offset: 500n }, { ...info, backlog: undefined }), false);
});

test('an offset has the id under which its byte was made', () => {
  const at = (offset: bigint, known?: { replId: string; offset: bigint }): string =>
    positionAt(offset, { lineage: 'l', info, known }).resume;
  assert.deepEqual([at(100n), at(101n)], [`${OLD}:100`, `${NEW}:101`]);
  // An id before the second one is known to us alone.
  const known = { replId: OTHER, offset: 60n };
  assert.deepEqual([at(60n, known), at(61n, known), at(101n, known)], [`${OTHER}:60`, `${OLD}:61`, `${NEW}:101`]);
  assert.deepEqual(parseResume(at(100n)), { replId: OLD, offset: 100n });
  for (const text of ['', `${OLD}:`, 'x:1', `${OLD}:-1`]) assert.equal(parseResume(text), undefined, text);
});

test('why a position is lost is told', () => {
  assert.match(whyLost({ replId: OLD, offset: 10n }, info), /repl-backlog-size 1000.* go back to 51, not to 10/);
  assert.match(whyLost({ replId: OLD, offset: 10n }, { ...info, backlog: undefined }), /keeps none of its changes/);
  assert.match(whyLost({ replId: OLD, offset: 200n }, info), /became master at 100, before .* up to 200/);
  assert.match(whyLost({ replId: NEW, offset: 900n }, info), /gone back/);
  assert.match(whyLost({ replId: OTHER, offset: 1n }, info), /a new history/);
});
