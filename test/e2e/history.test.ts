import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import { listOf, markId, objectOf, openShop, until } from './shop.ts';
import type { Shop, Started } from './shop.ts';

const MANIFEST = `application: shop
repository: ./backups
marks: { every: 1s }
stores:
  uploads: files:./data
  config: files:./config
`;

async function shopWithLog(): Promise<Shop> {
  const shop = await openShop({ manifest: MANIFEST });
  mkdirSync(shop.at('config'));
  writeFileSync(shop.at('config', 'app.conf'), 'first');
  writeFileSync(shop.at('data', 'note'), 'first');
  return shop;
}

/** Until the newest complete mark holds this. */
function marked(shop: Shop, store: string, [name, content]: readonly [string, string]): Promise<void> {
  return until(`${content} in ${name} of ${store}`, () => {
    const { status, out } = shop.run(['cat', 'latest', store, name]);
    return status === 0 && out === content;
  });
}

async function stopped({ child, ended }: Started): Promise<void> {
  child.kill('SIGINT');
  const { status, err } = await ended;
  assert.ok(status === 0 || status === 130, err);
}

/** Where the restore of a store would go with `--per-store`. */
function nearestOf(shop: Shop, at: string, store: string): Readonly<Record<string, unknown>> {
  const plan = shop.ok(['plan', '--to', at, '--per-store', store]);
  assert.equal(plan['mark'], undefined);
  const [planned = {}] = listOf(plan, 'stores');
  return objectOf(planned, 'nearest');
}

const isoAt = (atMs: number): string => new Date(atMs).toISOString();
const msOf = (at: unknown): number => Date.parse(String(at));

test('what was recorded is in the timeline, and status tells of it when nothing records any more', async () => {
  await using shop = await shopWithLog();
  const empty = shop.run(['status', '--check']);
  assert.equal(empty.status, 9);
  assert.deepEqual(
    listOf(empty.json, 'alarms').map(({ code }) => code),
    ['NO_MARK', 'NEVER_BACKED_UP', 'NEVER_BACKED_UP'],
  );
  const up = shop.start(['up']);
  await marked(shop, 'config', ['app.conf', 'first']);
  writeFileSync(shop.at('data', 'note'), 'second');
  await marked(shop, 'uploads', ['note', 'second']);
  await stopped(up);

  const timeline = shop.ok(['timeline']);
  const [uploads = {}, config = {}] = listOf(timeline, 'stores');
  assert.deepEqual([uploads['store'], config['store']], ['uploads', 'config']);
  for (const store of [uploads, config]) {
    assert.deepEqual([listOf(store, 'bases').length, listOf(store, 'gaps').length], [1, 0]);
    const [window = {}, ...others] = listOf(store, 'windows');
    assert.ok(others.length === 0 && msOf(window['from']) < msOf(window['to']));
  }
  assert.ok(listOf(uploads, 'logs').some(({ segments }) => Number(segments) > 0));
  assert.ok(listOf(timeline, 'marks').length > 0);
  assert.deepEqual(listOf(shop.ok(['timeline', 'config', '--to', '1h ago']), 'marks'), []);
  assert.equal(shop.run(['timeline', '--from', 'tomorrow']).status, 2);
  assert.equal(shop.run(['timeline', 'unknown']).json['code'], 'USAGE');

  const status = shop.ok(['status', '--check']);
  assert.deepEqual([status['up'], status['alarms'], status['keyRole']], [undefined, [], 'reader']);
  for (const store of listOf(status, 'stores')) {
    assert.equal(store['state'], 'idle');
    assert.ok(msOf(objectOf(store, 'window')['to']) <= msOf(status['at']));
  }
  const withoutKey = { env: { TIDEMARK_PASSPHRASE: undefined } };
  assert.equal(shop.ok(['status'], withoutKey)['keyRole'], 'writer');
  rmSync(shop.at('state'), { recursive: true });
  assert.deepEqual(shop.run(['status'], withoutKey).json['code'], 'SECRET_MISSING');
  // A base that nothing leads to begins anew: what lies between is a gap.
  shop.ok(['backup']);
  const after = shop.run(['timeline', 'uploads']);
  assert.equal(after.status, 9);
  const [broken = {}] = listOf(after.json, 'stores');
  assert.equal(listOf(broken, 'gaps').length, 1);
  const [gap = {}] = listOf(broken, 'gaps');
  const within = isoAt((msOf(gap['from']) + msOf(gap['to'])) / 2);
  assert.equal(shop.run(['plan', '--to', within]).json['code'], 'TARGET_IN_GAP');
});

test('--per-store brings each store to its newest commit before a time, and says how near', async () => {
  await using shop = await shopWithLog();
  const up = shop.start(['up']);
  await marked(shop, 'uploads', ['note', 'first']);
  writeFileSync(shop.at('data', 'note'), 'second');
  await marked(shop, 'uploads', ['note', 'second']);
  const before = isoAt(Date.now());
  writeFileSync(shop.at('data', 'note'), 'third');
  await marked(shop, 'uploads', ['note', 'third']);
  await stopped(up);

  const third = nearestOf(shop, '0s ago', 'uploads');
  assert.ok(Number(third['distanceMs']) > 0);
  const second = nearestOf(shop, before, 'uploads');
  assert.deepEqual(second['covered'], true);
  assert.equal(Number(second['distanceMs']), msOf(before) - msOf(second['at']));
  const restored = shop.ok(['restore', '--to', before, '--per-store', '--into', 'copy', '--yes']);
  assert.deepEqual([restored['mark'], restored['at']], [undefined, before]);
  assert.equal(readFileSync(shop.at('copy', 'uploads', 'note'), 'utf8'), 'second');
  assert.equal(readFileSync(shop.at('copy', 'config', 'app.conf'), 'utf8'), 'first');
  const [uploads = {}] = listOf(restored, 'stores');
  assert.deepEqual(objectOf(uploads, 'nearest'), second);
  shop.ok(['restore', '--to', String(third['at']), '--per-store', 'uploads', '--into', 'third', '--yes']);
  assert.equal(readFileSync(shop.at('third', 'uploads', 'note'), 'utf8'), 'third');

  const early = shop.run(['plan', '--to', '2020-01-01', '--per-store']);
  assert.deepEqual([early.status, early.json['code']], [4, 'TARGET_OUTSIDE_WINDOW']);
  assert.match(String(early.json['hint']), /^Its window goes from 20\d\d-.* to /);
  for (const target of ['latest', 'first']) {
    assert.equal(shop.run(['plan', '--to', target, '--per-store']).json['code'], 'USAGE');
  }
  assert.equal(shop.run(['restore', '--resume', '--per-store']).json['code'], 'USAGE');
});

test('a restore of each store to its own place is finished by --resume', async () => {
  await using shop = await shopWithLog();
  for (let number = 0; number < 20; number++) writeFileSync(shop.at('data', `large-${number}`), randomBytes(100_000));
  shop.ok(['backup']);
  const slow = ['--limit-download', '512KiB'];
  const restore = shop.start(['restore', '--to', '0s ago', '--per-store', '--into', 'copy', '--yes', ...slow]);
  const [chunk] = (await once(restore.child.stdout, 'data')) as readonly Buffer[];
  assert.match(String(chunk), /"progress"/);
  restore.child.kill('SIGKILL');
  await restore.ended;
  assert.ok(!existsSync(shop.at('copy', 'uploads')));
  const alarms = listOf(shop.ok(['status']), 'alarms');
  assert.deepEqual(
    alarms.map(({ code }) => code),
    ['RESTORE_UNFINISHED'],
  );
  assert.match(String(alarms[0]?.['message']), /the restore of each store to 20/);
  const resumed = shop.ok(['restore', '--resume']);
  const [uploads = {}] = listOf(resumed, 'stores');
  assert.ok(Number(objectOf(uploads, 'nearest')['distanceMs']) > 0);
  assert.equal(readFileSync(shop.at('copy', 'uploads', 'note'), 'utf8'), 'first');
});

test('a plan says what of it is missing in the repository', async () => {
  await using shop = await shopWithLog();
  shop.ok(['backup']);
  assert.deepEqual(shop.ok(['plan', '--to', 'latest'])['blockers'], []);
  rmSync(shop.at('backups', 'packs'), { recursive: true });
  const plan = shop.run(['plan', '--to', 'latest']);
  assert.equal(plan.status, 9);
  assert.match(String(plan.json['blockers']), /uploads: .*packs\/.* missing in the repository/);
});

test('a store alone is brought to a position of its own, looked into there, and its neighbours are told where it never stood', async () => {
  await using shop = await openShop({
    manifest: 'application: shop\nrepository: ./backups\nmarks: { every: 1s }\nstores:\n  notes: embedded:./notes.db\n',
  });
  using notes = openEmbedded(shop.at('notes.db'));
  const first = Number(notes.put('key', 'first'));
  const up = shop.start(['up']);
  await marked(shop, 'notes', ['key', 'first']);
  const second = Number(notes.put('key', 'second'));
  notes.transaction((transaction) => {
    transaction.put('other', 'x');
    transaction.put('key', 'third');
  });
  await marked(shop, 'notes', ['key', 'third']);
  await stopped(up);

  assert.equal(shop.run(['cat', String(second), 'notes', 'key']).out, 'second');
  const plan = shop.ok(['plan', '--to', String(second), 'notes']);
  const [planned = {}] = listOf(plan, 'stores');
  assert.deepEqual([plan['mark'], objectOf(planned, 'position')['resume']], [undefined, String(second)]);
  const restored = shop.ok(['restore', '--to', String(second), 'notes', '--into', 'notes=embedded:./copy.db', '--yes']);
  assert.equal(restored['mark'], undefined);
  using copy = openEmbedded(shop.at('copy.db'));
  assert.equal(Buffer.from(copy.get('key') ?? []).toString(), 'second');
  const within = shop.run(['plan', '--to', String(second + 1), 'notes']);
  assert.equal(within.json['code'], 'TARGET_UNKNOWN');
  assert.match(String(within.json['hint']), new RegExp(`${second} and ${second + 2}`));
  assert.equal(shop.run(['plan', '--to', String(second)]).json['code'], 'TARGET_UNKNOWN', 'positions are of one store');
  assert.equal(shop.run(['plan', '--to', String(first - 1), 'notes']).json['code'], 'TARGET_UNKNOWN');
});

test('find tells of every mark, also of those on logs, what ls shows there', async () => {
  await using shop = await openShop({
    manifest:
      'application: shop\nrepository: ./backups\nmarks: { every: 1s }\nstores:\n  uploads: files:./data\n  notes: embedded:./notes.db\n',
  });
  using notes = openEmbedded(shop.at('notes.db'));
  mkdirSync(shop.at('data', 'old'));
  writeFileSync(shop.at('data', 'old', 'gone'), 'x');
  writeFileSync(shop.at('data', 'same'), 'x');
  notes.put('a', '1');
  const up = shop.start(['up']);
  await marked(shop, 'uploads', ['same', 'x']);
  await marked(shop, 'notes', ['a', '1']);
  for (let step = 0; step < 3; step++) {
    writeFileSync(shop.at('data', 'changed'), `version ${step}`);
    if (step === 1) rmSync(shop.at('data', 'old'), { recursive: true });
    if (step === 2) notes.delete('a');
    notes.put('b', `${step}`);
    await marked(shop, 'uploads', ['changed', `version ${step}`]);
    await marked(shop, 'notes', ['b', `${step}`]);
    if (step === 1) shop.ok(['backup', 'uploads']);
  }
  await stopped(up);

  const line = (entry: Readonly<Record<string, unknown>>): string =>
    JSON.stringify([entry['name'], entry['type'], entry['size'], entry['mtime']]);
  const ids = listOf(shop.ok(['marks']), 'marks').map(({ id }) => String(id));
  assert.ok(ids.length >= 4);
  for (const [store, pattern] of [
    ['uploads', '*'],
    ['notes', ''],
  ] as const) {
    const found = listOf(shop.ok(['find', pattern, '--store', store]), 'found');
    for (const id of ids) {
      const listed = shop.run(['ls', id, store, '--recursive']);
      const top = (name: unknown): boolean => store === 'notes' || !String(name).includes('/');
      const shown = listed.status === 0 ? listOf(listed.json, 'entries').filter(({ name }) => top(name)) : [];
      const held = found.filter(({ marks }) => (marks as readonly string[]).includes(id));
      assert.deepEqual(held.map(line).sort(), shown.map(line).sort(), `${store} at ${id}`);
    }
  }
  const versions = listOf(shop.ok(['find', 'changed']), 'found');
  assert.equal(versions.length, 3);
});

test('a time that is copied from the list of marks means that mark', async () => {
  await using shop = await openShop({
    manifest: 'application: shop\nrepository: ./backups\ntimezone: Asia/Kathmandu\nstores:\n  uploads: files:./data\n',
  });
  const taken = ['one', 'two'].map((name) => {
    writeFileSync(shop.at('data', 'file'), name);
    return markId(shop.ok(['backup']));
  });
  const { out } = shop.run(['marks', '--quiet']);
  const times = out.split('\n').flatMap((line) => /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*/.exec(line)?.[0] ?? []);
  assert.deepEqual(
    times.map((time) => markId(shop.ok(['plan', '--to', time, '--into', './out']))),
    taken,
    out,
  );
});
