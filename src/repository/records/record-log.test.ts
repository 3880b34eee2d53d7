import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { must } from '../../core/must.ts';
import type { ObjectStore } from '../../objects/object-store.ts';
import { RepositoryFixture } from '../../testing/repository-fixture.ts';
import { loadCatalogue } from '../catalogue.ts';
import { recordKey } from '../format/names.ts';
import { writeRecord } from '../format/record.ts';

const MIB = 1024 * 1024;
const STORE = { uploads: new Map([['a', { attributes: Buffer.from('x'), content: Buffer.from('content') }]]) };
const session = (index: number): string => index.toString(16).padStart(32, '0');

type Reads = { totalBytes: number; mostAtOnceBytes: number };

/** Notes how much room the reads of an object store are given. */
function measured(fixture: RepositoryFixture, reads: Reads): ObjectStore {
  let nowBytes = 0;
  const read: ObjectStore['read'] = async (key, offset, into, run) => {
    nowBytes += into.byteLength;
    reads.totalBytes += into.byteLength;
    reads.mostAtOnceBytes = Math.max(reads.mostAtOnceBytes, nowBytes);
    await nextTurn();
    nowBytes -= into.byteLength;
    return await fixture.memory.read(key, offset, into, run);
  };
  return new Proxy(fixture.memory, {
    get(target, property) {
      if (property === 'read') return read;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

async function findingsOf(fixture: RepositoryFixture, reads: Reads): Promise<readonly string[]> {
  const { findings, marks } = await loadCatalogue(await fixture.open(measured(fixture, reads)), [], fixture.run);
  assert.equal(marks.length, 1);
  return findings.map(({ message }) => message);
}

test('of large objects that are no records of this repository hardly more than the beginning is read', async () => {
  await using fixture = await RepositoryFixture.create();
  await fixture.backup({ writer: 'anna', stores: STORE });
  const junk = new Uint8Array(20 * MIB);
  for (const folder of ['manifests', 'journal', 'runs', 'pins', 'ledger']) {
    fixture.memory.put(`${folder}/${session(1)}-00000000`, junk);
  }
  fixture.memory.put(`sessions/${session(1)}/00000000`, junk);
  const reads: Reads = { totalBytes: 0, mostAtOnceBytes: 0 };
  const findings = await findingsOf(fixture, reads);
  assert.equal(findings.filter((message) => message.includes(session(1))).length, 6);
  assert.ok(reads.totalBytes < MIB, `${reads.totalBytes} bytes`);
});

test('records are read together as far as they are small together', async () => {
  await using fixture = await RepositoryFixture.create();
  await fixture.backup({ writer: 'anna', stores: STORE });
  const { writer } = await fixture.writerAccess('anna', ['uploads']);
  const { id, signing } = must(writer, 'a writer');
  for (let index = 0; index < 6; index++) {
    const header = { kind: 'journal', session: session(index), counter: 0, previous: '0'.repeat(64) } as const;
    const record = writeRecord({
      header: { ...header, repository: fixture.owner.header.id, credential: id },
      sections: [{ name: 'frames', bytes: new Uint8Array(10 * MIB) }],
      signing,
      keys: fixture.owner.header,
      random: fixture.runtime.random,
    });
    record[record.byteLength - 1] = must(record.at(-1), 'a signature') ^ 1;
    fixture.memory.put(recordKey('journal', session(index), 0), record);
  }
  const reads: Reads = { totalBytes: 0, mostAtOnceBytes: 0 };
  const findings = await findingsOf(fixture, reads);
  assert.equal(findings.filter((message) => message.includes('its signature does not fit')).length, 6);
  assert.ok(reads.mostAtOnceBytes < 17 * MIB, `${reads.mostAtOnceBytes} bytes at once`);
});
