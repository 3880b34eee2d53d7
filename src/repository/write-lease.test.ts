import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forward } from '../objects/wrappers/forward.ts';
import { RepositoryFixture } from '../testing/repository-fixture.ts';

const LEASE_MS = 60_000;
const STORE = new Map([['a', { attributes: new Uint8Array(1), content: new Uint8Array(20_000).fill(7) }]]);

/** Takes a base whose manifest is there only so long after its creation began, which is the time that it bears. */
async function takenAfter(stallMs: number): Promise<void> {
  await using fixture = await RepositoryFixture.create('a', { leaseMs: LEASE_MS });
  const { memory, clock } = fixture;
  const objects = {
    ...forward(memory),
    async create(key: string, body: readonly Uint8Array[], run: typeof fixture.run): Promise<void> {
      const begunMs = clock.nowMs();
      if (key.startsWith('manifests/')) await clock.advance(stallMs);
      await memory.createBegun({ key, body, begunMs }, run);
    },
  };
  await using writer = await fixture.openWriter({ writer: 'one', objects });
  await fixture.writeBase(writer, 'uploads', STORE);
}

test('a base whose manifest appears long after the time that it bears is not committed', async () => {
  await takenAfter(LEASE_MS / 4);
  await assert.rejects(takenAfter(3 * LEASE_MS), { code: 'FENCED' });
});
