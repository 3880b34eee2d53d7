import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../core/errors.ts';
import type { ErrorCode } from '../core/error-codes.ts';
import { must } from '../core/must.ts';
import { MemoryObjectStore } from '../testing/memory-object-store.ts';
import { RepositoryFixture } from '../testing/repository-fixture.ts';
import type { FixtureStore } from '../testing/repository-fixture.ts';
import { addPassphrase, createRepository, openWithCredential, withDerivedCredential } from './access.ts';
import type { RepositoryAccess } from './access.ts';
import { loadCatalogue, newestBase } from './catalogue.ts';
import type { Catalogue } from './catalogue.ts';
import { writeHeader } from './format/header.ts';
import { parsePackKey, recordKey } from './format/names.ts';
import type { RecordKind } from './format/names.ts';
import { writeRecord } from './format/record.ts';
import type { RecordHeader, Section, SectionName } from './format/record.ts';
import { extractInPlace } from './extract/in-place.ts';
import type { Json } from './format/json.ts';
import { readCredential, writeCredential } from './keys/credential.ts';
import type { WriterCredential } from './keys/credential.ts';
import { forget } from './maintainer.ts';
import { openPackDirectory } from './pack-directory.ts';
import { RepositoryReader } from './reader.ts';
import { writeMaintenance, writeMark } from './records/bodies.ts';
import { loadCondemned } from './records/record-log.ts';
import { sweep } from './sweep.ts';
import { verifyRepository } from './verify.ts';
import { checkInPlace } from './verify/check-in-place.ts';

const INFO = { application: 'test', host: 'host', command: 'backup', tool: 'tidemark test' };
const KEEP_LAST = { windowMs: 0, last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0 };

function storeOf(label: string): FixtureStore {
  const names = Array.from({ length: 6 }, (_, number) => `${label} file ${number}`);
  return new Map(
    names.map((name, number) => [
      name,
      { attributes: Buffer.from(`attributes of ${label}`), content: Buffer.alloc(4000 + number, `${name} content `) },
    ]),
  );
}

/** A host that was given a credential file and nothing else. */
async function hostWith(
  fixture: RepositoryFixture,
  name: string,
  stores: readonly string[],
): Promise<RepositoryAccess> {
  const { writer } = await fixture.writerAccess(name, stores);
  const credential = readCredential(writeCredential(must(writer, 'a writer')), 'writer.json');
  return await openWithCredential(fixture.memory, credential, fixture.runtime, fixture.run);
}

async function codeOf(work: Promise<unknown>): Promise<ErrorCode | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    return error.code;
  }
}

/** All names and contents of the newest base of a history, as a reader has them. */
async function restored(fixture: RepositoryFixture, history: string): Promise<ReadonlyMap<string, string>> {
  await using reader = await fixture.openReader();
  const base = await reader.base(must(newestBase(reader.catalogue, history), 'a base'), fixture.run);
  const found = new Map<string, string>();
  for await (const batch of base.entries(fixture.run)) {
    for (const { name, content } of batch) {
      const pieces: Uint8Array[] = [];
      for await (const piece of base.read(must(content, 'a content'), fixture.run)) pieces.push(piece);
      found.set(Buffer.from(name).toString('latin1'), Buffer.concat(pieces).toString());
    }
  }
  return found;
}

function textsOf(store: FixtureStore): ReadonlyMap<string, string> {
  return new Map([...store].map(([name, { content }]) => [name, Buffer.from(content ?? []).toString()]));
}

test('a host with a writer’s credential alone backs up, deduplicates and remembers, and can’t read or administer', async () => {
  await using fixture = await RepositoryFixture.create();
  const { run, runtime } = fixture;
  const access = await hostWith(fixture, 'host', ['one']);
  assert.deepEqual([access.keyring, access.maintainer], [undefined, undefined]);
  const store = storeOf('first');
  await fixture.backup({ writer: 'host', stores: { one: store }, access });
  const again = await fixture.backup({ writer: 'host', stores: { one: store }, access });
  const { stored } = must(again.bases.get('one'), 'a base');
  assert.deepEqual([stored.newBytes, stored.entries], [0, store.size]);
  assert.deepEqual(await restored(fixture, 'one'), textsOf(store));

  const catalogue = await loadCatalogue(access, [], run);
  assert.deepEqual([catalogue.findings, catalogue.marks.length], [[], 2]);
  const own = must(newestBase(catalogue, 'one'), 'its own base');
  assert.equal(own.maintenance, undefined);
  const pack = must(
    fixture.memory.keys().find((key) => key.startsWith('packs/')),
    'a pack',
  );
  const credential = must(access.writer, 'a writer');
  const options = { access, remembered: [], info: INFO };
  const openChecker = async () => checkInPlace(access);
  const refused: readonly Promise<unknown>[] = [
    RepositoryReader.open({ access, remembered: [], stateFolder: undefined, extract: extractInPlace }, run),
    openPackDirectory(access, { key: pack, credential: credential.id, idKey: credential.keys.idKey }, run),
    verifyRepository(
      {
        access,
        remembered: [],
        share: 1,
        random: runtime.random,
        openChecker,
        decoderOf: async () => undefined,
        onProgress: () => undefined,
      },
      run,
    ),
    forget({ ...options, policy: KEEP_LAST, timezone: 'UTC' }, run),
    sweep({ ...options, apply: true }, run),
    addPassphrase(access, { passphrase: 'mine', role: 'all', name: 'mine' }, run),
    withDerivedCredential(access, { role: 'maintainer', name: 'mine', stores: [] }, run),
  ];
  assert.deepEqual(
    await Promise.all(refused.map(codeOf)),
    refused.map(() => 'KEY_MISSING'),
  );
});

test('a host with a writer’s credential alone notices that what it saw was rolled back, and not what a sweep took', async () => {
  await using fixture = await RepositoryFixture.create('rolled', { leaseMs: 60_000 });
  const { run } = fixture;
  const access = await hostWith(fixture, 'host', ['*']);
  await fixture.backup({ writer: 'host', stores: { one: storeOf('first') }, access });
  const older = fixture.memory.snapshot();
  await fixture.backup({ writer: 'host', stores: { one: storeOf('second') }, access });
  const seen = fixture.remembered;
  const newer = fixture.memory.snapshot();
  fixture.memory.restore(older);
  assert.match((await loadCatalogue(access, seen, run)).findings[0]?.message ?? '', /seen before, is gone/);
  // Going on from there does not hide it.
  await fixture.backup({ writer: 'other', stores: { one: storeOf('third') } });
  assert.match((await loadCatalogue(access, seen, run)).findings[0]?.message ?? '', /seen before, is gone/);

  fixture.memory.restore(newer);
  const options = { access: await fixture.maintainerAccess(), remembered: [], info: INFO };
  await forget({ ...options, policy: KEEP_LAST, timezone: 'UTC' }, run);
  for (let pass = 0; pass < 3; pass++) {
    await fixture.clock.advance(200_000);
    await sweep({ ...options, apply: true }, run);
  }
  assert.notDeepEqual(fixture.memory.keys().length, newer.held.length);
  assert.deepEqual((await loadCatalogue(access, seen, run)).findings, []);
});

type Forgery = {
  readonly kind: RecordKind;
  readonly sections: readonly Section[];
  readonly header?: Partial<RecordHeader>;
};

/** Puts a record that `writer` signs, whatever it says. */
function plant(fixture: RepositoryFixture, writer: WriterCredential, { kind, sections, header }: Forgery): string {
  const full = {
    kind,
    repository: fixture.owner.header.id,
    credential: writer.id,
    session: 'e'.repeat(32),
    counter: 0,
    previous: '0'.repeat(64),
    ...header,
  };
  const key = recordKey(full.kind, full.session, full.counter);
  const { random } = fixture.runtime;
  const { signing } = writer;
  fixture.memory.put(
    key,
    writeRecord({ header: full, sections, signing, keys: fixture.owner.header, idKey: writer.keys.idKey, random }),
  );
  return key;
}

/** A writer of one store beside another writer of the other one, which has a base and a mark. */
async function twoWriters(fixture: RepositoryFixture) {
  const victim = await hostWith(fixture, 'victim', ['one']);
  const attacker = await hostWith(fixture, 'attacker', ['two']);
  await fixture.backup({ writer: 'victim', stores: { one: storeOf('first') }, access: victim });
  await fixture.backup({ writer: 'attacker', stores: { two: storeOf('other') }, access: attacker });
  const catalogue = await loadCatalogue(fixture.owner, [], fixture.run);
  assert.deepEqual(catalogue.findings, []);
  return { victim, attacker: must(attacker.writer, 'a writer'), base: must(newestBase(catalogue, 'one'), 'a base') };
}

test('what a writer signs about another’s store, base or session counts for nothing', async () => {
  await using fixture = await RepositoryFixture.create();
  const { attacker, base, victim } = await twoWriters(fixture);
  const whole = fixture.memory.snapshot();
  const { credential, session, summary } = base;
  const maintenance = must(base.maintenance, 'the owner to read it');
  const forged = (change: object): Json => writeMaintenance({ ...maintenance, createdAtMs: 9e12, ...change });
  const mark = (history: string) =>
    writeMark({
      id: 'forged',
      tags: [],
      class: 'clock',
      atMs: 1,
      skewMs: 0,
      missing: [],
      positions: { [history]: summary.cut },
      bases: { [history]: base.key },
    });
  const in_ = (name: Exclude<SectionName, 'frames'>, value: Json): Forgery['sections'] => [{ name, value }];
  const forgeries: readonly (readonly [RegExp, Forgery])[] = [
    [/may not write the store one/, { kind: 'manifest', sections: in_('maintenance', forged({})) }],
    [/is not one of the store two/, { kind: 'manifest', sections: in_('maintenance', forged({ store: 'two' })) }],
    [/signature does not fit/, { kind: 'manifest', sections: in_('maintenance', forged({})), header: { credential } }],
    [
      /not by the credential whose session/,
      { kind: 'void', sections: in_('plain', { record: base.key }), header: { session, counter: 9 } },
    ],
    [/not by the credential whose session/, { kind: 'end', sections: [], header: { session, counter: 9 } }],
    [/may not write the store one/, { kind: 'journal', sections: in_('maintenance', { marks: [mark('one')] }) }],
    [/base of two is not at its position/, { kind: 'journal', sections: in_('maintenance', { marks: [mark('two')] }) }],
    [
      /a writer may not write it/,
      {
        kind: 'ledger',
        sections: in_('plain', { includes: [], forgotten: [], removed: { [session]: [[0, 9]] }, heads: [], atMs: 1 }),
      },
    ],
    [/a writer may not write it/, { kind: 'proof', sections: in_('maintenance', { manifest: base.key, atMs: 1 }) }],
    [
      /another repository/,
      { kind: 'void', sections: in_('plain', { record: base.key }), header: { repository: 'f'.repeat(32) } },
    ],
  ];
  for (const [expected, forgery] of forgeries) {
    fixture.memory.restore(whole);
    if (forgery.header?.session === session) fixture.memory.remove(recordKey('end', session, 0));
    plant(fixture, attacker, forgery);
    const catalogue = await loadCatalogue(fixture.owner, [], fixture.run);
    const told = catalogue.findings.map(({ message }) => message).join('\n');
    assert.match(told, expected, `${forgery.kind}: ${told}`);
    assertUnhurt(catalogue, base.key, forgery.kind);
    assert.deepEqual(await restored(fixture, 'one'), textsOf(storeOf('first')), forgery.kind);
  }
  fixture.memory.restore(whole);
  const packs = fixture.memory.keys().filter((key) => key.startsWith('packs/'));
  plant(fixture, attacker, {
    kind: 'condemned',
    sections: in_('plain', { sessions: [], objects: [...packs, base.key] }),
  });
  assert.deepEqual(await loadCondemned(victim, fixture.run), []);
});

function assertUnhurt(catalogue: Catalogue, manifest: string, what: string): void {
  assert.equal(newestBase(catalogue, 'one')?.key, manifest, what);
  assert.equal(catalogue.bases.get(manifest)?.provenAtMs, undefined, what);
  const named = catalogue.marks.filter(({ mark }) => Object.values(mark.bases).includes(manifest));
  assert.deepEqual(
    named.map(({ mark }) => [mark.id === 'forged', mark.missing]),
    [[false, []]],
    what,
  );
}

test('packs that a writer plants among another’s are never taken for them', async () => {
  await using fixture = await RepositoryFixture.create();
  const { attacker, victim, base } = await twoWriters(fixture);
  const packsOf = (credential: string): readonly string[] =>
    fixture.memory.keys().filter((key) => parsePackKey(key)?.credential === credential);
  const [own = ''] = packsOf(base.credential);
  const planted = packsOf(attacker.id).map((key) => key.replace(attacker.id, base.credential));
  for (const key of planted) {
    fixture.memory.put(key, must(fixture.memory.get(key.replace(base.credential, attacker.id)), 'a pack'));
  }
  assert.deepEqual(await restored(fixture, 'one'), textsOf(storeOf('first')));
  const next = await fixture.backup({ writer: 'victim', stores: { one: storeOf('first') }, access: victim });
  assert.equal(must(next.bases.get('one'), 'a base').stored.newBytes, 0, 'its own chunks are still known');
  // Even where its own are gone nothing of another’s comes in their place.
  for (const key of planted) {
    fixture.memory.put(own, must(fixture.memory.get(key), 'a pack'));
    assert.equal(await codeOf(restored(fixture, 'one')), 'REPOSITORY_DAMAGED');
  }
});

test('who has only the object store reads nothing and can’t put a repository of its own in the place', async () => {
  await using fixture = await RepositoryFixture.create();
  const { run, runtime, memory } = fixture;
  const access = await hostWith(fixture, 'secret-host', ['secret-store']);
  const stores = { 'secret-store': storeOf('secret') };
  await fixture.backup({ writer: 'secret-host', stores, name: 'secret-mark', access });
  const secrets = [
    'secret file',
    'file 0 content',
    'attributes of',
    'secret-mark',
    'application: test',
    'the passphrase',
  ];
  for (const key of memory.keys()) {
    const bytes = Buffer.from(must(memory.get(key), 'an object'));
    for (const secret of secrets) {
      for (const encoding of ['utf8', 'hex', 'base64'] as const) {
        const found = bytes.includes(Buffer.from(secret).toString(encoding).replace(/=+$/, ''));
        assert.ok(!found, `${key} holds ${secret} as ${encoding}`);
      }
    }
  }
  const other = new MemoryObjectStore({ clock: fixture.clock });
  const foreign = await createRepository(
    other,
    { passphrase: 'theirs', slotName: 'x', kdfCost: { memoryKiB: 8, passes: 1, parallelism: 1 } },
    runtime,
    run,
  );
  const root = must(foreign.keyring?.owner, 'an owner').root;
  const { id } = fixture.owner.header;
  const headers = [
    { ...foreign.header, id },
    { ...foreign.header, id, rootKey: fixture.owner.header.rootKey },
    { ...fixture.owner.header, contentKey: foreign.header.contentKey },
  ];
  for (const header of headers) {
    memory.put('tidemark.json', writeHeader(header, root));
    const codes = await Promise.all([
      codeOf(fixture.open()),
      codeOf(openWithCredential(memory, must(access.writer, 'a writer'), runtime, run)),
    ]);
    for (const code of codes) assert.ok(code === 'KEY_REFUSED' || code === 'REPOSITORY_DAMAGED', code);
  }
});
