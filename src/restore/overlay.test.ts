import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { createSeededRandom } from '../flow/random.ts';
import { storedEntry, packContent } from '../repository/base-reader.ts';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { Overlay } from './overlay.ts';
import type { OverlaidEntry } from './overlay.ts';

type Kept = { readonly attributes: string; readonly content?: string | undefined } | undefined;

function told({ name, entry }: OverlaidEntry): readonly [string, Kept] {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  const content = entry?.content && text(packContent(entry.content));
  return [text(name), entry && { attributes: text(entry.attributes), content }];
}

test('the last of each name is told, in the order of bytes, from memory and from a file', async () => {
  const seed = randomInt(2 ** 31);
  const random = createSeededRandom(seed);
  for (const memoryBytes of [Number.POSITIVE_INFINITY, 3000, 1]) {
    await using folder = temporaryFolder();
    const overlay = new Overlay({ temporaryFolder: folder.path, memoryBytes });
    assert.ok(overlay.isEmpty);
    const model = new Map<string, Kept>();
    for (let count = 0; count < 1500; count++) {
      // Shared memory, as views into one frame are.
      const frame = random.bytes(96);
      const name = frame.subarray(0, random.integer(3)).map((byte) => byte & 0x8f);
      const text = Buffer.from(name).toString('hex');
      if (random.chance(0.3)) {
        overlay.put({ name, removed: true });
        model.set(text, undefined);
      } else {
        const chunks = [{ id: frame.subarray(64), sizeBytes: random.integer(1000) }];
        const content = { kind: 'chunks', sizeBytes: chunks[0]?.sizeBytes ?? 0, chunks } as const;
        const attributes = frame.subarray(8, 8 + random.integer(50));
        const entry = storedEntry({ name, attributes, content: random.chance(0.5) ? content : undefined });
        overlay.put(entry);
        const [, kept] = told({ name, entry });
        model.set(text, kept);
      }
      frame.fill(0);
    }
    overlay.close();
    const label = `seed ${seed}, ${memoryBytes} bytes`;
    assert.equal(overlay.isEmpty, false, label);
    const expected = [...model].sort(([left], [right]) => (left < right ? -1 : 1));
    assert.deepEqual([...overlay.from(new Uint8Array(0))].map(told), expected, label);
    const [from] = expected[Math.floor(expected.length / 2)] ?? [''];
    assert.deepEqual(
      [...overlay.from(Buffer.from(from, 'hex'))].map(told),
      expected.filter(([name]) => name >= from),
      label,
    );
    for (const [name, kept] of expected.slice(0, 50)) {
      const found = overlay.find(Buffer.from(name, 'hex'));
      assert.deepEqual(found && told(found), [name, kept], label);
    }
    assert.equal(overlay.find(Buffer.from('ffffff', 'hex')), undefined);
    assert.equal(readdirSync(folder.path).length, Number.isFinite(memoryBytes) ? 1 : 0, label);
    overlay[Symbol.dispose]();
    assert.deepEqual(readdirSync(folder.path), [], label);
  }
});
