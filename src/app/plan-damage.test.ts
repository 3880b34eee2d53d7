import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../core/must.ts';
import { LogFixture, positionAt } from '../testing/log-fixture.ts';
import { pointAt } from './look.ts';
import { damageOf } from './plan-damage.ts';

test('what a point needs and the repository lacks is told for each store', async () => {
  await using fixture = await LogFixture.create();
  const { repository } = fixture;
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.base('uploads', { at: 11, order: 1 });
  // So many commits that the frames lie apart from their record.
  const commits = Array.from({ length: 20_000 }, (_, index): [number, number] => [index + 2, 20]);
  await fixture.log('orders', { after: 1, commits });
  const damage = async (): Promise<readonly string[]> => {
    await using reader = await repository.openReader();
    const { credential } = must([...reader.catalogue.bases.values()][0], 'a base');
    const planned = [
      { store: 'orders', position: positionAt(15_000), credential },
      { store: 'uploads', position: positionAt(1), credential },
    ].map((at) => ({ store: at.store, point: must(pointAt(reader, at), 'a point') }));
    return await damageOf(reader, planned, repository.run);
  };
  assert.deepEqual(await damage(), []);
  const bodies: string[] = [];
  for await (const batch of repository.memory.list('logs/', '', repository.run)) {
    bodies.push(...batch.map(({ key }) => key));
  }
  await repository.memory.delete(bodies, repository.run);
  const [text, ...others] = await damage();
  assert.match(text ?? '', /^orders: logs\/[0-9a-f]+\/[0-9a-f]+, which it needs, is missing in the repository/);
  assert.deepEqual(others, []);
  const packs: string[] = [];
  for await (const batch of repository.memory.list('packs/', '', repository.run)) {
    packs.push(...batch.map(({ key }) => key));
  }
  await repository.memory.delete(packs, repository.run);
  const all = await damage();
  assert.equal(all.length, 2);
  assert.match(all[0] ?? '', /^orders: \d+ objects that it needs, such as .* are missing/);
  assert.match(all[1] ?? '', /^uploads: packs\/.* missing/);
});
