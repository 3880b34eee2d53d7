import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DamageList } from './damage.ts';

const pack = (number: number) => ({ object: `packs/${number}`, kind: 'pack', message: 'gone' });

test('one item an object, with each mark and name once, the first ones', () => {
  const list = new DamageList();
  for (let number = 0; number < 50; number++) {
    list.add({
      ...pack(1),
      message: `packs/1 is damaged: fault ${number}`,
      base: 'a',
      marks: ['m one'],
      names: [`n${number}`, 'n0'],
    });
  }
  const names = Array.from({ length: 20 }, (_, number) => `n${number}`);
  assert.deepEqual(list.list(), [
    { object: 'packs/1', kind: 'pack', message: 'fault 0', affects: ['m one', ...names, 'and more entries'] },
  ]);
});

test('beyond a thousand objects the others are counted', () => {
  const list = new DamageList();
  for (let number = 0; number < 1500; number++) list.add(pack(number));
  const damage = list.list();
  assert.equal(damage.length, 1001);
  assert.match(damage.at(-1)?.message ?? '', /^500 more/);
});

test('what only concerns bases that are not needed any more is dropped', () => {
  const list = new DamageList();
  assert.equal(list.concernsBases, false);
  list.add(pack(1));
  list.add({ ...pack(2), base: 'a' });
  list.add({ ...pack(3), base: 'a' });
  list.add({ ...pack(3), base: 'b' });
  assert.equal(list.concernsBases, true);
  list.keepBases((base) => base === 'b');
  assert.deepEqual(
    list.list().map(({ object }) => object),
    ['packs/1', 'packs/3'],
  );
});
