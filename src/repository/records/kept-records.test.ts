import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ObjectStore } from '../../objects/object-store.ts';
import { RepositoryFixture } from '../../testing/repository-fixture.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { withKeptRecords } from '../access.ts';
import type { RepositoryAccess } from '../access.ts';
import { loadCatalogue } from '../catalogue.ts';
import type { Catalogue } from '../catalogue.ts';
import { parseRecordKey } from '../format/names.ts';

const STORE = { uploads: new Map([['a', { attributes: Buffer.from('x'), content: Buffer.from('content') }]]) };
const BACKUPS = 6;

async function repositoryWithRecords(): Promise<RepositoryFixture> {
  const fixture = await RepositoryFixture.create();
  for (let backup = 0; backup < BACKUPS; backup++) await fixture.backup({ writer: 'anna', stores: STORE });
  return fixture;
}

/** Notes which records are read. */
function noting(fixture: RepositoryFixture, read: string[]): ObjectStore {
  const { memory } = fixture;
  return new Proxy(memory, {
    get(target, property) {
      if (property === 'read') {
        return (...args: Parameters<ObjectStore['read']>) => {
          if (parseRecordKey(args[0]) !== undefined) read.push(args[0]);
          return target.read(...args);
        };
      }
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

type Look = { readonly catalogue: Catalogue; readonly read: readonly string[] };

async function look(fixture: RepositoryFixture, folder: string, mayWrite = true): Promise<Look> {
  const read: string[] = [];
  const access = await withKeptRecords(await fixture.open(noting(fixture, read)), { folder, mayWrite }, fixture.run);
  return { catalogue: await loadCatalogue(access, [], fixture.run), read };
}

function told({ catalogue }: Look): unknown {
  const { marks, findings, fingerprint } = catalogue;
  const bases = [...catalogue.bases.values()].map(({ trusted, ...base }) => {
    const { header, digest, sizeBytes } = trusted.record;
    return { ...base, header, digest, sizeBytes };
  });
  return { bases, marks, findings, fingerprint };
}

test('what was read once is not read again, and says the same', async () => {
  await using fixture = await repositoryWithRecords();
  await using folder = temporaryFolder();
  const first = await look(fixture, folder.at('records'));
  assert.ok(first.read.length > BACKUPS);
  const second = await look(fixture, folder.at('records'));
  assert.deepEqual(second.read, []);
  assert.deepEqual(told(second), told(first));
  assert.equal(second.catalogue.marks.length, BACKUPS);
});

test('what is new is read, what is gone is not there any more', async () => {
  await using fixture = await repositoryWithRecords();
  await using folder = temporaryFolder();
  await look(fixture, folder.at('records'));
  await fixture.backup({ writer: 'anna', stores: STORE });
  const after = await look(fixture, folder.at('records'));
  assert.equal(after.catalogue.marks.length, BACKUPS + 1);
  assert.ok(after.read.length > 0 && after.read.length < BACKUPS);
  const gone = after.catalogue.marks[0]?.key ?? '';
  await fixture.memory.delete([gone], fixture.run);
  const last = await look(fixture, folder.at('records'));
  assert.equal(last.catalogue.marks.length, BACKUPS);
  assert.match(last.catalogue.findings[0]?.message ?? '', /record \d+ of session .* is gone/);
});

test('a record that was replaced is read and refused', async () => {
  await using fixture = await repositoryWithRecords();
  await using folder = temporaryFolder();
  const { catalogue } = await look(fixture, folder.at('records'));
  const key = catalogue.marks[0]?.key ?? '';
  const bytes = new Uint8Array(catalogue.log.byKey.get(key)?.record.sizeBytes ?? 0);
  await fixture.clock.advance(1_000);
  await fixture.memory.delete([key], fixture.run);
  await fixture.memory.create(key, [bytes], fixture.run);
  const after = await look(fixture, folder.at('records'));
  assert.ok(after.read.includes(key));
  assert.ok(after.catalogue.bad.some((bad) => bad.key === key));
});

const damages: readonly (readonly [string, (bytes: Buffer) => Buffer])[] = [
  ['cut off', (bytes) => bytes.subarray(0, bytes.byteLength >> 1)],
  ['empty', () => Buffer.alloc(0)],
  ['changed', (bytes) => Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])])],
  ['of a newer version', (bytes) => Buffer.concat([bytes.subarray(0, 4), Buffer.from([9]), bytes.subarray(5)])],
];

for (const [what, damage] of damages) {
  test(`everything is read where the file is ${what}`, async () => {
    await using fixture = await repositoryWithRecords();
    await using folder = temporaryFolder();
    const first = await look(fixture, folder.at('records'));
    const [file = ''] = readdirSync(folder.at('records'));
    const path = join(folder.at('records'), file);
    writeFileSync(path, damage(readFileSync(path)));
    const second = await look(fixture, folder.at('records'));
    assert.deepEqual(second.read.toSorted(), first.read.toSorted());
    assert.deepEqual(told(second), told(first));
    assert.deepEqual((await look(fixture, folder.at('records'))).read, []);
  });
}

test('each who opens a repository keeps a file of its own, and a dry run keeps none', async () => {
  await using fixture = await repositoryWithRecords();
  await using folder = temporaryFolder();
  await look(fixture, folder.at('records'), false);
  assert.throws(() => readdirSync(folder.at('records')), { code: 'ENOENT' });
  await look(fixture, folder.at('records'));
  const { writer, ...rest } = await fixture.writerAccess('anna');
  const asWriter: RepositoryAccess = { ...rest, keyring: undefined, writer };
  const kept = await withKeptRecords(asWriter, { folder: folder.at('records'), mayWrite: true }, fixture.run);
  const { bases, marks } = await loadCatalogue(kept, [], fixture.run);
  assert.deepEqual([bases.size, marks.length], [BACKUPS, BACKUPS]);
  assert.equal(readdirSync(folder.at('records')).length, 2);
});

test('a writer keeps no section that it has no key for, and reads nothing again for that', async () => {
  await using fixture = await repositoryWithRecords();
  await using folder = temporaryFolder();
  const { writer, ...rest } = await fixture.writerAccess('anna');
  const read: string[] = [];
  const asWriter: RepositoryAccess = { ...rest, objects: noting(fixture, read), keyring: undefined, writer };
  const options = { folder: folder.at('records'), mayWrite: true };
  const lookAsWriter = async (): Promise<Look> => {
    return {
      catalogue: await loadCatalogue(await withKeptRecords(asWriter, options, fixture.run), [], fixture.run),
      read,
    };
  };
  const first = await lookAsWriter();
  assert.ok(read.splice(0).length > BACKUPS);
  const second = await lookAsWriter();
  assert.deepEqual(second.read, []);
  assert.deepEqual(told(second), told(first));
  for (const { trusted } of second.catalogue.bases.values()) {
    const { header, sections } = trusted.record;
    const left = header.sections.filter((_, at) => sections[at] !== undefined);
    assert.deepEqual([...header.sections, ...left], ['maintenance', 'content', 'writer', 'writer']);
  }
});

test('records are read again by who has keys for more of them than whoever kept them', async () => {
  await using fixture = await repositoryWithRecords();
  await using folder = temporaryFolder();
  const options = { folder: folder.at('records'), mayWrite: true };
  const { writer, ...rest } = await fixture.writerAccess('anna');
  const asWriter = await withKeptRecords({ ...rest, keyring: undefined, writer }, options, fixture.run);
  await loadCatalogue(asWriter, [], fixture.run);
  const read: string[] = [];
  const objects = noting(fixture, read);
  const both: RepositoryAccess = { ...(await fixture.writerAccess('anna')), objects, kept: asWriter.kept };
  const { bases } = await loadCatalogue(both, [], fixture.run);
  assert.deepEqual(
    [...bases.values()].map(({ maintenance }) => maintenance?.packs.length),
    Array.from({ length: BACKUPS }, () => 2),
  );
  assert.ok(read.length >= BACKUPS);
});

test('a folder that can’t be read or written is told of, and everything is read', async () => {
  await using fixture = await repositoryWithRecords();
  await using folder = temporaryFolder();
  mkdirSync(folder.at('state'));
  writeFileSync(folder.at('state/records'), '');
  const { catalogue } = await look(fixture, folder.at('state/records'));
  assert.equal(catalogue.marks.length, BACKUPS);
  assert.match(fixture.loggedLoud.join('\n'), /can’t be read.*ENOTDIR.*\n.*can’t be written.*EEXIST/);
});
