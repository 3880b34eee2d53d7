import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkAll } from './check.ts';
import { LONGER, markAtRandom, openWorld, untilRecording } from './world.ts';

const KEYS = `  orders: embedded:./orders.db
  catalog: embedded:./catalog.db
`;
const PAUSED = `  orders: { url: embedded:./orders.db, references: [uploads] }
  catalog: embedded:./catalog.db
  uploads:
    url: files:./uploads
    seal:
      pause: [sh, -c, 'touch pause; while [ ! -e paused ]; do sleep 0.01; done']
      resume: [sh, -c, 'rm -f pause; while [ -e paused ]; do sleep 0.01; done']
`;

for (const [what, manifest, stores] of [
  ['pauses what writes', PAUSED, ['orders', 'catalog', 'uploads']],
  ['locks the stores', KEYS, ['orders', 'catalog']],
] as const) {
  test(`a sealed mark ${what}: all stores stand at one moment in it, while other marks are taken`, async (t) => {
    await using world = await openWorld(manifest);
    t.diagnostic(`seed ${world.seed}`);
    const up = world.startUp();
    world.startWriter();
    await untilRecording(world, ...stores);
    const seconds = LONGER;
    const [sealed, others] = await Promise.all([
      markAtRandom(world, seconds, { sealed: true }),
      markAtRandom(world, seconds),
    ]);
    const model = await world.stopWriter();
    const { status, err } = await world.stop(up);
    assert.equal(status, 0, err);
    const { marks } = await checkAll(world, model, { promised: [...sealed, ...others] });
    const found = marks.filter(({ mark }) => mark.class === 'sealed').length;
    t.diagnostic(`${found} sealed of ${marks.length} marks`);
    assert.deepEqual([found, sealed.length > 1], [sealed.length, true]);
  });
}
