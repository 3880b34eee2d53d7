import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSeededRandom } from '../flow/random.ts';
import { forward } from '../objects/wrappers/forward.ts';
import { RepositoryFixture } from '../testing/repository-fixture.ts';
import { loadCatalogue } from './catalogue.ts';

const STORE = 'orders';

test('frames that the object store did not keep as they were sent are found before their record is put', async () => {
  for (const spoil of [
    (bytes: Uint8Array) => bytes.subarray(1),
    (bytes: Uint8Array) => Buffer.concat([bytes, bytes.subarray(0, 1)]),
    (bytes: Uint8Array) => bytes.map((byte, at) => (at === 1000 ? byte ^ 1 : byte)),
  ]) {
    await using fixture = await RepositoryFixture.create();
    const store = forward(fixture.memory);
    const objects = {
      ...store,
      capabilities: { ...store.capabilities, provesDigest: false },
      create: async (key: string, body: readonly Uint8Array[], run: typeof fixture.run) => {
        await store.create(key, key.startsWith('logs/') ? [spoil(Buffer.concat(body))] : body, run);
      },
    };
    await using writer = await fixture.openWriter({ writer: 'one', objects });
    const attributes = createSeededRandom('large').bytes(50_000);
    const entries = new Map([['a', { attributes }]]);
    const segment = await fixture.segment(writer, { store: STORE, after: 0, transactions: [{ order: 1, entries }] });
    await assert.rejects(writer.putJournal({ marks: [], segments: [segment], gaps: [] }, fixture.run), {
      code: 'REPOSITORY_DAMAGED',
    });
    assert.deepEqual((await loadCatalogue(fixture.owner, [], fixture.run)).segments, []);
  }
});
