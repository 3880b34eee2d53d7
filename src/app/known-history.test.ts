import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BaseRecord } from '../repository/catalogue.ts';
import { HistoryView } from '../repository/log-view.ts';
import { fakeBase } from '../testing/fake-records.ts';
import { knownHistory } from './known-history.ts';

function known(...bases: readonly BaseRecord[]): ReturnType<typeof knownHistory> {
  const byKey = new Map(bases.map((base) => [base.key, base]));
  return knownHistory(
    { bases: byKey, histories: new Map([['orders', new HistoryView(bases, [])]]), marks: [] },
    'orders',
    'a',
  );
}

test('marks go on standing on the newest base that its writer can’t take back', () => {
  const [sure, unsure] = [fakeBase(1), fakeBase(2, { isConfirmed: false })];
  assert.equal(known(sure, unsure)?.base?.key, sure.key);
  assert.equal(known(sure, unsure)?.lastBaseMs, sure.summary.createdAtMs);
  assert.equal(known(sure, fakeBase(3, { credential: 'b' }))?.base, undefined);
});
