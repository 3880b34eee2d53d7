import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import { RepositoryFixture } from '../testing/repository-fixture.ts';
import { listSlots, loadCertificates, openWithPassphrase } from './access.ts';
import { encodeJson, JsonFields } from './format/json.ts';
import { writeSlot } from './keys/slot.ts';
import type { KdfCost } from './keys/slot.ts';
import { verifyRepository } from './verify.ts';
import { checkInPlace } from './verify/check-in-place.ts';

const FIRST = '0'.repeat(32);
const PASSPHRASE = 'the passphrase of a test';

/** Puts a slot before all others that is as the fixture's own but for its derivation. */
async function plant(fixture: RepositoryFixture, cost: Partial<KdfCost>): Promise<void> {
  const [own] = (await listSlots(fixture.owner, fixture.run)).slots;
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
    const { slots, unreadable } = await listSlots(fixture.owner, fixture.run);
    assert.deepEqual([slots.length, unreadable.map(({ id }) => id)], [1, [FIRST]]);
    assert.match(unreadable[0]?.problem ?? '', /is damaged: /);
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

test('what is foreign among key slots and certificates is passed over', async () => {
  await using fixture = await RepositoryFixture.create();
  await fixture.writerAccess('host');
  const slots = await listSlots(fixture.owner, fixture.run);
  for (const folder of ['keys', 'credentials']) {
    fixture.memory.put(`${folder}/desktop.ini`, Buffer.from('foreign'));
    fixture.memory.put(`${folder}/${FIRST}/deeper`, Buffer.from('foreign'));
  }
  assert.deepEqual(await listSlots(fixture.owner, fixture.run), slots);
  const { byId, bad } = await loadCertificates(fixture.owner, fixture.run);
  assert.deepEqual([byId.size, bad], [1, []]);
  const refused = openWithPassphrase(fixture.memory, 'another', fixture.runtime, fixture.run);
  await assert.rejects(
    refused,
    (error) => isTidemarkError(error, 'KEY_REFUSED') && !error.hint.includes('can’t be read'),
  );
  const openChecker = async () => checkInPlace(fixture.owner);
  const { random } = fixture.runtime;
  const options = {
    access: fixture.owner,
    remembered: [],
    share: 0,
    random,
    openChecker,
    decoderOf: async () => undefined,
    onProgress: () => undefined,
  };
  assert.deepEqual((await verifyRepository(options, fixture.run)).damage, []);
});
