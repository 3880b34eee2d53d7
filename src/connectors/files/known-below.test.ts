import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KnownBelow } from './known-below.ts';
import type { KnownName } from './known-state.ts';

/** A state that knows of these names, and hands them out two at a time. */
function stateOf(names: readonly string[]) {
  let asked = 0;
  return {
    asked: () => asked,
    below(_folder: string, after: string): readonly KnownName[] {
      asked++;
      const rest = names.filter((name) => name > after).slice(0, 2);
      return rest.map((name) => ({ name, state: new Uint8Array(0), flags: 0 }));
    },
  };
}

test('what a walk does not find is gone, except what nobody can see', () => {
  const state = stateOf(['f\0a', 'f\0b', 'f\0b\0x', 'f\0c', 'f\0c\0x', 'f\0d', 'f\0e']);
  const gone: string[] = [];
  const known = new KnownBelow('f', state, ({ name }) => gone.push(name));
  assert.equal(known.take('f\0b')?.name, 'f\0b');
  known.pass('f\0b');
  known.pass('f\0c');
  assert.equal(known.take('f\0c2'), undefined);
  assert.equal(known.take('f\0e')?.name, 'f\0e');
  known.finish();
  assert.deepEqual(gone, ['f\0a', 'f\0d']);
});

test('after the last name that is known nothing is asked any more', () => {
  const state = stateOf(['f\0a']);
  const known = new KnownBelow('f', state, () => assert.fail('nothing is gone'));
  assert.equal(known.take('f\0a')?.name, 'f\0a');
  for (let index = 0; index < 100; index++) assert.equal(known.take(`f\0b${index}`), undefined);
  known.finish();
  assert.equal(state.asked(), 2);
});
