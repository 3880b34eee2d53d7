import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TidemarkError } from '../core/errors.ts';
import { logBytes } from '../core/log-bytes.ts';
import { positionAt, RepositoryFixture } from '../testing/repository-fixture.ts';
import type { FixtureEntry } from '../testing/repository-fixture.ts';
import { verifyRepository } from './verify.ts';
import type { VerifyReport } from './verify.ts';
import { checkInPlace } from './verify/check-in-place.ts';
import type { Decoder } from './verify/decoding.ts';
import type { WrittenBase } from './writer.ts';

const STORE = 'orders';
const good: FixtureEntry = { attributes: Buffer.from('good') };
const bad: FixtureEntry = { attributes: Buffer.from('bad') };

/** Of a store whose entries all say `good`. */
const decoder: Decoder = {
  checkEntry({ attributes }) {
    if (Buffer.from(attributes).toString() === 'good') return;
    throw new TidemarkError('REPOSITORY_DAMAGED', 'it does not say good');
  },
};

async function verify(
  fixture: RepositoryFixture,
  share: number,
  decoders: Readonly<Record<string, Decoder>>,
): Promise<VerifyReport> {
  const access = await fixture.open();
  const options = { access, remembered: fixture.remembered, share, random: fixture.runtime.random };
  const openChecker = async (): Promise<ReturnType<typeof checkInPlace>> => checkInPlace(access);
  const decoderOf = async (kind: string): Promise<Decoder | undefined> => decoders[kind];
  return await verifyRepository({ ...options, openChecker, decoderOf, onProgress: () => undefined }, fixture.run);
}

function entries(count: number, others: readonly (readonly [string, FixtureEntry])[] = []): Map<string, FixtureEntry> {
  return new Map([...Array.from({ length: count }, (_, at) => [`entry ${at}`, good] as const), ...others]);
}

test('an entry that can’t be decoded is damage of its base, named with all marks that have it, and no base that shares it is proven', async () => {
  await using fixture = await RepositoryFixture.create();
  const spoilt = entries(3, [['spoilt', bad]]);
  const one = await fixture.backup({ writer: 'one', stores: { [STORE]: spoilt } });
  const two = await fixture.backup({ writer: 'one', stores: { [STORE]: new Map([...spoilt, ['later', good]]) } });
  const three = await fixture.backup({ writer: 'one', stores: { [STORE]: entries(3) } });
  for (const share of [0, 1]) {
    const { damage, proven } = await verify(fixture, share, { test: decoder });
    const expected = [one, two].map(({ mark, bases }) => ({
      object: bases.get(STORE)?.key ?? '',
      kind: 'entry',
      message: `what is stored of ${STORE}:spoilt can’t be decoded, so that a restore fails at it: it does not say good`,
      affects: [`${mark.id} ${STORE}`, `${STORE}:spoilt`],
    }));
    assert.deepEqual(
      damage,
      expected.toSorted((left, right) => (left.object < right.object ? -1 : 1)),
    );
    const whole = share === 0 ? [] : [three.bases.get(STORE)?.key];
    assert.deepEqual(
      proven.map(({ base }) => base.key),
      whole,
    );
  }
});

test('what is stored of a kind of store that is not known here is taken as it is', async () => {
  await using fixture = await RepositoryFixture.create();
  await fixture.backup({ writer: 'one', stores: { [STORE]: entries(1, [['spoilt', bad]]) } });
  assert.deepEqual((await verify(fixture, 1, {})).damage, []);
});

test('a node that two stores of different kinds share is decoded for each of them', async () => {
  await using fixture = await RepositoryFixture.create();
  const store = entries(1, [['spoilt', bad]]);
  await using writer = await fixture.openWriter({ writer: 'one' });
  const bases = new Map<string, WrittenBase>();
  for (const connector of ['careful', 'easy']) {
    bases.set(connector, await fixture.writeBase(writer, connector, store, { connector }));
  }
  await writer.putMark(fixture.markOf(bases), fixture.run);
  await writer.end(fixture.run);
  fixture.remembered = writer.heads;
  const easy = { checkEntry: () => undefined };
  // Whichever is looked at first.
  for (const [decoders, found] of [
    [{ careful: decoder, easy }, 'careful'],
    [{ careful: easy, easy: decoder }, 'easy'],
  ] as const) {
    const { damage } = await verify(fixture, 0, decoders);
    assert.deepEqual(
      damage.map(({ object }) => object),
      [bases.get(found)?.key],
    );
  }
});

test('contents that a restore can’t make anything of are damage of the base, once every byte was read', async () => {
  await using fixture = await RepositoryFixture.create();
  const content = Buffer.from('no dump');
  const stores = { [STORE]: new Map([['dump', { ...good, content }]]) };
  const { mark, bases } = await fixture.backup({ writer: 'one', stores });
  const reading: Decoder = {
    ...decoder,
    async checkContents(base, run) {
      for await (const [entry] of base.entries(run)) {
        const bytes = entry?.content && (await Array.fromAsync(base.read(entry.content, run)));
        assert.equal(Buffer.concat(bytes ?? []).toString(), 'no dump');
      }
      throw new TidemarkError('UNSUPPORTED', 'it is no dump');
    },
  };
  assert.deepEqual((await verify(fixture, 0, { test: reading })).damage, []);
  const { damage, proven } = await verify(fixture, 1, { test: reading });
  const message = `what is stored of ${STORE} can’t be decoded, so that a restore fails at it: it is no dump`;
  const object = bases.get(STORE)?.key;
  assert.deepEqual(damage, [{ object, kind: 'entry', message, affects: [`${mark.id} ${STORE}`] }]);
  assert.deepEqual(proven, []);
});

test('what keeps a check of contents from reading is no damage', async () => {
  await using fixture = await RepositoryFixture.create();
  await fixture.backup({ writer: 'one', stores: { [STORE]: entries(1) } });
  const away = new TidemarkError('REPOSITORY_UNREACHABLE', 'it is away');
  const checkContents = async (): Promise<never> => await Promise.reject(away);
  await assert.rejects(verify(fixture, 1, { test: { ...decoder, checkContents } }), (error) => error === away);
});

/** A base, and a log with one change to it. */
async function logged(fixture: RepositoryFixture, name: string, entry: FixtureEntry | undefined): Promise<string> {
  await using writer = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(writer, STORE, entries(1), { cut: 0 });
  const transactions = [{ order: 1, entries: new Map([[name, entry]]) }];
  const segment = await fixture.segment(writer, { store: STORE, after: 0, transactions });
  const mark = { ...fixture.markOf(new Map()), positions: { [STORE]: positionAt(1) } };
  await writer.putJournal({ marks: [mark], segments: [segment], gaps: [] }, fixture.run);
  await writer.end(fixture.run);
  fixture.remembered = writer.heads;
  return `${mark.id} ${STORE}`;
}

test('an entry of a log that can’t be decoded is damage of what holds it, found once it is read', async () => {
  await using fixture = await RepositoryFixture.create();
  const mark = await logged(fixture, 'spoilt', bad);
  assert.deepEqual((await verify(fixture, 0, { test: decoder })).damage, []);
  const { damage } = await verify(fixture, 1, { test: decoder });
  const [{ object, kind, message, affects } = { object: '', kind: '', message: '', affects: [] }] = damage;
  assert.match(object, /^journal\//);
  assert.deepEqual([damage.length, kind, affects], [1, 'entry', [mark, `${STORE}:spoilt`]]);
  assert.match(message, /^what is stored of orders:spoilt can’t be decoded.*: it does not say good$/);
});

test('what a log says is gone has nothing to decode, unless the log is bytes', async () => {
  for (const [log, expected] of [
    [undefined, 0],
    ['bytes', 1],
  ] as const) {
    await using fixture = await RepositoryFixture.create();
    await logged(fixture, 'entry 0', undefined);
    assert.equal((await verify(fixture, 1, { test: { ...decoder, log } })).damage.length, expected);
  }
});

/** The name of a run of bytes. */
function runFrom(start: bigint): string {
  return Buffer.from(logBytes(start, Buffer.of()).name).toString('latin1');
}

test('of a log that is bytes its runs are looked at, not what an entry of a base would be', async () => {
  const byte = { attributes: Buffer.of(7) };
  for (const [name, entry, expected] of [
    [runFrom(0n), byte, ''],
    [runFrom(1n), byte, 'lacks what lies between 0 and 1'],
    [runFrom(0n), { attributes: Buffer.of() }, 'lacks what lies between 0 and 1'],
    ['no run', byte, 'something else than runs of bytes'],
  ] as const) {
    await using fixture = await RepositoryFixture.create();
    await logged(fixture, name, entry);
    const { damage } = await verify(fixture, 1, { test: { ...decoder, log: 'bytes' } });
    assert.equal(damage.length, expected === '' ? 0 : 1, expected);
    assert.match(damage[0]?.message ?? '', new RegExp(expected));
  }
});
