import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import { RepositoryFixture } from '../testing/repository-fixture.ts';
import { listSlots } from './access.ts';
import { encodeJson, JsonFields } from './format/json.ts';
import { writeSlot } from './keys/slot.ts';
import type { KdfCost } from './keys/slot.ts';

const FIRST = '0'.repeat(32);
const PASSPHRASE = 'the passphrase of a test';

/** Puts a slot before all others that is as the fixture's own but for its derivation. */
async function plant(fixture: RepositoryFixture, cost: Partial<KdfCost>): Promise<void> {
  const [own] = await listSlots(fixture.owner, fixture.run);
  const fields = JsonFields.parse(must(fixture.memory.get(`keys/${must(own, 'a slot').id}`), 'its bytes'), 'a slot');
  fixture.memory.put(
    `keys/${FIRST}`,
    encodeJson({ ...fields.all, id: FIRST, kdf: { ...fields.json('kdf'), ...cost } }),
  );
}

test('a key slot whose derivation can’t be computed is damage and does not lock out the others', async () => {
  for (const cost of [{ parallelism: 0 }, { passes: 0 }, { memoryKiB: 7 }, { memoryKiB: 15, parallelism: 2 }]) {
    await using fixture = await RepositoryFixture.create();
    await plant(fixture, cost);
    assert.notEqual((await fixture.open()).keyring, undefined, JSON.stringify(cost));
    await assert.rejects(listSlots(fixture.owner, fixture.run), (error) =>
      isTidemarkError(error, 'REPOSITORY_DAMAGED'),
    );
  }
});

test('key slots of the least derivation that is allowed open', async () => {
  await using fixture = await RepositoryFixture.create();
  await plant(fixture, { memoryKiB: 16, parallelism: 2 });
  assert.notEqual((await fixture.open()).keyring, undefined);
});

test('of key slots the cheap ones are tried first', async () => {
  await using fixture = await RepositoryFixture.create();
  const keyring = must(fixture.owner.keyring, 'a keyring');
  const info = { id: FIRST, role: 'reader', name: 'dear', createdAtMs: 0 } as const;
  const cost = { memoryKiB: 8, passes: 2, parallelism: 1 };
  fixture.memory.put(`keys/${FIRST}`, await writeSlot({ keyring, info, passphrase: PASSPHRASE, cost }));
  assert.notEqual((await fixture.open()).keyring?.owner, undefined);
});
