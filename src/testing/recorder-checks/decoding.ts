import assert from 'node:assert/strict';
import { isUndecodable, undecodable } from '../../core/entry-check.ts';
import { memoryContent, memoryReader } from '../tree/memory-base.ts';
import { editAtRandom, randomOf, recordAll, textOf } from './check.ts';
import type { RecorderCheck, RecorderCheckContext } from './check.ts';

/** What no connector makes of an entry. */
const NO_ATTRIBUTES: readonly Uint8Array[] = [Buffer.of(), Buffer.of(0xff)];

async function decodesAll(context: RecorderCheckContext): Promise<void> {
  const { connector, run } = context;
  await editAtRandom(context, new Map(), { random: randomOf(context, 'decode'), count: 40 });
  const base = await recordAll(context);
  for (const entry of base.all) {
    assert.equal(undecodable(connector.checkEntry, entry), undefined, `${textOf(entry.name)} can be decoded`);
  }
  await connector.checkContents?.(base, run);
}

async function noticesAttributes(context: RecorderCheckContext): Promise<void> {
  await context.fixture.put('k', 'v');
  const { all } = await recordAll(context);
  assert.ok(all.length > 0, 'a store that holds something has entries');
  for (const entry of all) {
    for (const attributes of NO_ATTRIBUTES) {
      const fault = undecodable(context.connector.checkEntry, { ...entry, attributes });
      const bytes = Buffer.from(attributes).toString('hex');
      assert.ok(fault !== undefined, `${textOf(entry.name)} can’t be decoded with the attributes “${bytes}”`);
    }
  }
}

async function noticesContents(context: RecorderCheckContext): Promise<void> {
  const { connector, fixture, run } = context;
  if (connector.checkContents === undefined) return;
  await fixture.put('k', 'v');
  const { all } = await recordAll(context);
  const emptied = all.map((entry) =>
    entry.content === undefined ? entry : { ...entry, content: memoryContent(Buffer.of()) },
  );
  await assert.rejects(connector.checkContents(memoryReader(emptied), run), isUndecodable);
}

export const decodingChecks: readonly RecorderCheck[] = [
  { title: 'what is stored can be decoded by its connector', verify: decodesAll },
  { title: 'its connector knows attributes that nothing can be made of', verify: noticesAttributes },
  { title: 'contents that a restore looks into are looked into when they are checked', verify: noticesContents },
];
