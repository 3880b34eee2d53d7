import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { isTidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Configuration } from './configuration.ts';
import { ManifestError, mistakeLine } from './mistakes.ts';
import { parseManifest } from './parse-manifest.ts';
import { resolvedManifestWithoutSecrets } from './resolved-manifest.ts';
import { applicationName, startingManifest } from './starting-manifest.ts';

const ORIGIN = { file: 'tidemark.yaml', folder: '/srv/shop' };

const SHORT = `application: shop
repository: ./backups
stores:
  uploads: files:./data/uploads
`;

const LONG = `application: shop
repository:
  url: ../backups
  passphraseFile: keys/passphrase
  limits: { upload: 10MiB }
stores:
  orders:
    url: files:/srv/orders
    class: source
    references: [uploads]
    bases: '15 */2 * * *'
    include: [/2026/]
    allowEmpty: true
  uploads: { url: 'files:./data/uploads', exclude: ['*.tmp', cache/], oneFileSystem: true, cacheDirTag: true }
  thumbs:
    url: files:thumbs
    class: derived
    dataSets:
      small: { prefix: 'small/', class: derived, from: uploads, rebuild: [make, thumbs] }
      queue: { prefix: 'queue/', class: ephemeral, restore: drop }
bases: '0 4 * * SUN'
timezone: Europe/Berlin
marks: { every: 30s }
flush: { after: 2s, size: 16MiB }
retention: { window: 7d, daily: 30, monthly: 0 }
`;

async function mistakesIn(text: string): Promise<readonly string[]> {
  const error: unknown = await parseManifest(text, ORIGIN).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof ManifestError, `no mistakes, but ${String(error)}`);
  assert.equal(error.code, 'CONFIG_INVALID');
  return error.mistakes.map((mistake) => mistakeLine(mistake).replace('tidemark.yaml:', ''));
}

/** The mistakes of one more line under `stores:`. */
async function mistakesOfStore(line: string): Promise<readonly string[]> {
  return await mistakesIn(`${SHORT}  ${line}\n`);
}

test('the shortest manifest gets every default', async () => {
  assert.deepEqual(await parseManifest(SHORT, ORIGIN), {
    application: 'shop',
    origin: ORIGIN,
    repository: {
      url: '/srv/shop/backups',
      passphrase: undefined,
      limits: { uploadBytesPerSecond: undefined, downloadBytesPerSecond: undefined },
    },
    stores: [
      {
        name: 'uploads',
        kind: 'files',
        scheme: 'files',
        target: '/srv/shop/data/uploads',
        url: 'files:/srv/shop/data/uploads',
        class: 'source',
        references: [],
        bases: '0 3 * * *',
        seal: undefined,
        allowEmpty: false,
        via: [],
        dataSets: [],
        options: { include: [], exclude: [], oneFileSystem: false, cacheDirTag: false },
        written: { url: 'files:./data/uploads' },
      },
    ],
    bases: '0 3 * * *',
    timezone: 'UTC',
    marks: { everyMs: 5_000 },
    flush: { afterMs: 1_000, sizeBytes: 8 * 2 ** 20 },
    retention: { windowMs: 14 * 86_400_000, last: 3, hourly: 24, daily: 7, weekly: 5, monthly: 12 },
  } satisfies Configuration);
});

test('the long form is taken as it is written', async () => {
  const { repository, stores, ...rest } = await parseManifest(LONG, ORIGIN);
  assert.deepEqual(repository, {
    url: '/srv/backups',
    passphrase: { kind: 'file', path: '/srv/shop/keys/passphrase' },
    limits: { uploadBytesPerSecond: 10 * 2 ** 20, downloadBytesPerSecond: undefined },
  });
  assert.deepEqual(
    stores.map(({ name, url, class: kind, references, bases, allowEmpty }) => ({
      name,
      url,
      kind,
      references,
      bases,
      allowEmpty,
    })),
    [
      {
        name: 'orders',
        url: 'files:/srv/orders',
        kind: 'source',
        references: ['uploads'],
        bases: '15 */2 * * *',
        allowEmpty: true,
      },
      {
        name: 'uploads',
        url: 'files:/srv/shop/data/uploads',
        kind: 'source',
        references: [],
        bases: '0 4 * * SUN',
        allowEmpty: false,
      },
      {
        name: 'thumbs',
        url: 'files:/srv/shop/thumbs',
        kind: 'derived',
        references: [],
        bases: '0 4 * * SUN',
        allowEmpty: false,
      },
    ],
  );
  assert.deepEqual(stores[1]?.options, {
    include: [],
    exclude: ['*.tmp', 'cache/'],
    oneFileSystem: true,
    cacheDirTag: true,
  });
  assert.deepEqual(stores[2]?.dataSets, [
    {
      name: 'small',
      prefix: 'small/',
      class: 'derived',
      from: 'uploads',
      rebuild: ['make', 'thumbs'],
      restore: undefined,
    },
    { name: 'queue', prefix: 'queue/', class: 'ephemeral', from: undefined, rebuild: undefined, restore: 'drop' },
  ]);
  assert.deepEqual(rest.retention, { windowMs: 7 * 86_400_000, last: 3, hourly: 24, daily: 30, weekly: 5, monthly: 0 });
  assert.deepEqual([rest.timezone, rest.marks.everyMs, rest.flush.afterMs], ['Europe/Berlin', 30_000, 2_000]);
});

test('a configuration is frozen throughout, and what the caller gave is not', async () => {
  const origin = { ...ORIGIN };
  const configuration = await parseManifest(LONG, origin);
  const frozen = (value: unknown): boolean =>
    typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(frozen));
  assert.ok(frozen(configuration));
  assert.ok(!Object.isFrozen(origin));
});

test('every mistake is listed at once, in the order of the text, each with its place', async () => {
  const text = `application: Shop
repository:
  url: s3://bucket
  passphraseFile: 5
  passphraseEnv: A
stores:
  orders:
    url: files:./x
    class: surce
    passwrodFile: x
    exclde: [a]
    references: [uplods, b]
    bases: 61 * * * *
  uploads: etcd://me:hunter2@db/shop
  b: { url: 'files:./y', references: [orders] }
marks: { every: 5 }
flush: { size: 8MB }
timezone: Europe/Berln
retention: { last: -3 }
color: red
`;
  assert.deepEqual(await mistakesIn(text), [
    '1:14: application: expected a name made of a-z, 0-9 and -, at most 63, found "Shop"',
    '3:8: repository.url: s3: is not in this version; supported: the path of a folder',
    '4:19: repository.passphraseFile: expected the path of a file, found a number',
    '5:18: repository.passphraseEnv: passphraseFile is given too; keep one of them',
    '9:12: stores.orders.class: expected one of source, derived, ephemeral, found "surce"',
    '10:5: stores.orders.passwrodFile: unknown key; known here: include, exclude, oneFileSystem, cacheDirTag, url, class, references, bases, seal, via, allowEmpty, dataSets',
    '11:5: stores.orders.exclde: unknown key; did you mean exclude?',
    '12:17: stores.orders.references: references go round: orders → b → orders',
    '12:18: stores.orders.references[0]: there is no store of this name; did you mean uploads?',
    '13:12: stores.orders.bases: minute: 61 is outside of 0 to 59',
    '14:12: stores.uploads: etcd: is not in this version; supported: embedded, files, postgres, postgresql, redis, rediss',
    '16:17: marks.every: expected a duration such as 5s, 15m, 36h or 14d, at least 1s, found 5',
    '17:16: flush.size: expected a size such as 512KiB, 8MiB or 1GiB, at least 64KiB, found "8MB"',
    '18:11: timezone: expected a time zone such as UTC or Europe/Berlin, found "Europe/Berln"',
    '19:20: retention.last: expected a whole number from 0 to 1000000, found -3',
    '20:1: color: unknown key; known here: application, repository, stores, bases, timezone, marks, flush, retention',
  ]);
});

test('a store’s place is explained', async () => {
  const table: Readonly<Record<string, string>> = {
    'x: ./data':
      '5:6: stores.x: expected a kind and a place such as files:./data; supported: embedded, files, postgres, postgresql, redis, rediss',
    'x: fles:./data': '5:6: stores.x: fles: is unknown; did you mean files:?',
    'x: gopher://old':
      '5:6: stores.x: gopher: is unknown; supported: embedded, files, postgres, postgresql, redis, rediss',
    'x: etcd://cache:2379':
      '5:6: stores.x: etcd: is not in this version; supported: embedded, files, postgres, postgresql, redis, rediss',
    'x: rediss://a b:6379':
      '5:6: stores.x: expected rediss://[user@]host[:port] as the URL of a store. Write it as in rediss://cache:6379.',
    'x: "files:"': '5:6: stores.x: expected a path',
    'x: files:~/data': '5:6: stores.x: ~ stands for nothing here; write the path from / on',
    'x: files://host/data': '5:6: stores.x: a path begins with one /, without a host',
    'x: 5': '5:6: stores.x: expected a kind and a place such as files:./data, or keys below',
    'x:': '5:5: stores.x: expected a kind and a place such as files:./data, or keys below',
    'x: { class: source }': '5:3: stores.x.url: missing; expected a kind and a place such as files:./data/uploads',
    'X Y: files:./data': '5:3: stores."X Y": expected a name made of a-z, 0-9, - and _, at most 63',
    'x: { url: "files:a", references: uploads }':
      '5:36: stores.x.references: expected a list of stores such as [uploads], found "uploads"',
    'x: { url: "files:a", references: [uploads, uploads] }': '5:46: stores.x.references[1]: uploads is named twice',
    'x: { url: "files:a", references: [x] }': '5:36: stores.x.references: references go round: x → x',
    'x: { url: "files:a", via: true }':
      '5:29: stores.x.via: expected a program and its arguments as a list, such as [pass, show, backup], found true',
    'x: { url: "files:a", dataSets: { d: { class: source, from: uploads } } }':
      '5:62: stores.x.dataSets.d.from: only of a part with class: derived',
    'x: { url: "files:a", dataSets: { d: { class: derived, from: upload } } }':
      '5:63: stores.x.dataSets.d.from: there is no store of this name; did you mean uploads?',
  };
  for (const [line, mistake] of Object.entries(table)) assert.deepEqual(await mistakesOfStore(line), [mistake], line);
});

test('two stores at one place are a mistake of the second; one inside another is none', async () => {
  const at = (url: string): Promise<readonly string[]> => mistakesOfStore(`x: ${url}`);
  const { stores } = await parseManifest(SHORT, ORIGIN);
  const target = must(stores[0], 'a store').target;
  for (const same of [`files:${target}`, `files:${target}/`, `files:${target}/../${basename(target)}`]) {
    assert.deepEqual(await at(same), ['5:6: stores.x: uploads is at this place already'], same);
    assert.deepEqual(await at(`{ class: source, url: "${same}" }`), [
      '5:28: stores.x.url: uploads is at this place already',
    ]);
  }
  const twice = `${SHORT}  x: files:${target}\n`;
  assert.equal((await parseManifest(twice, ORIGIN, { isStored: true })).stores.length, 2);
  assert.equal((await parseManifest(`${SHORT}  x: files:${target}/photos\n`, ORIGIN)).stores.length, 2);
});

test('a secret in the manifest is refused and never repeated', async () => {
  const lines = await mistakesIn(SHORT.replace('./backups', '{ url: ./backups, passphrase: hunter2 }'));
  assert.deepEqual(lines, [
    '2:31: repository.passphrase: a secret is never in the manifest; use passphraseFile, passphraseEnv, passphraseCommand to say where it is',
  ]);
  assert.deepEqual(await mistakesOfStore('x: postgres://me:hunter2@db/x'), [
    '5:6: stores.x: a password does not belong in the URL. Take it out, and name its source: passwordFile, passwordEnv or passwordCommand.',
  ]);
  for (const place of [
    'redis://:hunter2@db/1',
    'postgres://me:hunter2@db/x',
    'ftp://me:hunter2@db/x',
    'fles:hunter2',
  ]) {
    assert.doesNotMatch((await mistakesOfStore(`x: ${place}`)).join(), /hunter2/);
  }
});

test('a server’s password is named by its source, whatever kind of server it is', async () => {
  for (const url of ['postgres://db/shop', 'redis://cache']) {
    for (const source of ['passwordFile: ./secret', 'passwordEnv: SECRET', 'passwordCommand: [pass, show, it]']) {
      const { stores } = await parseManifest(`${SHORT}  x: { url: "${url}", ${source} }\n`, ORIGIN);
      const key = source.split(':')[0] ?? '';
      assert.ok(must(stores[1], 'a store').options[key] !== undefined, `${url} ${source}`);
    }
  }
});

test('references may share stores and form chains', async () => {
  const stores = ['a: [b, c]', 'b: [d]', 'c: [d]', 'd: []', 'e: [a]'];
  const text = stores.map((line) => line.replace(/(\w): (.*)/, '  $1: { url: files:$1, references: $2 }')).join('\n');
  assert.equal((await parseManifest(`${SHORT}${text}\n`, ORIGIN)).stores.length, 6);
});

test('a broken or hostile text is one clear line', async () => {
  const required = [
    '1:1: application: missing; expected a name made of a-z, 0-9 and -, at most 63',
    '1:1: repository: missing; expected the path of a folder such as ./backups, or keys below',
    '1:1: stores: missing; expected at least one store such as uploads: files:./data/uploads',
  ];
  const table: readonly (readonly [text: string, mistakes: readonly string[]])[] = [
    ['', required],
    ['# nothing\n', required],
    ['hello', ['1:1: expected keys and values, found "hello"']],
    ['- a\n- b', ['1:1: expected keys and values, found a list']],
    ['stores:\n\tuploads: x', ['2:1: a tab can’t indent; use spaces']],
    ['bases: * * * * *', ['1:8: a value that begins with * must be in quotes']],
    ['application: @shop', ['1:14: a value that begins with this character must be in quotes']],
    ['application: shop\n---\napplication: other', ['2:1: a second document (---) begins here; a manifest is one']],
    ['%YAML 1.1\n---\napplication: yes', ['1:1: a directive (%) is not allowed']],
    ['%TAG ! tag:example.com,2026:\n---\na: !b c', ['1:1: a directive (%) is not allowed']],
    ['repository: a: b', ['1:13: a second colon in one line; put the value in quotes, or begin a new line']],
    ['application\nrepository: x', ['1:1: expected a colon and a value in this line']],
    ['application: "shop', ['1:19: missing closing "quote']],
    ['a: [1, 2\nb: 3', ['2:1: flow sequence in block collection must be sufficiently indented and end with a ]']],
    [`a: ${'['.repeat(2_000)}`, ['nested too deeply']],
    [`a: ${'[a, '.repeat(20)}${']'.repeat(20)}`, ['nested too deeply']],
    ['- '.repeat(4_000), ['nested too deeply']],
    [`a: [${'1,'.repeat(20_001)}]`, ['too many values']],
  ];
  for (const [text, expected] of table) {
    const found = await mistakesIn(text);
    const shown = found.map((line) => line.replace(/^\d+:\d+: (?=nested|too many)/, ''));
    assert.deepEqual(shown, expected, JSON.stringify(text.slice(0, 60)));
  }
});

test('what YAML could hide is refused', async () => {
  const table: Readonly<Record<string, string>> = {
    'x: &a files:./x': '5:9: stores.x: an anchor (&) is not allowed; write the value out, or in quotes',
    'x: *a': '5:6: stores.x: an alias (*) is not allowed; write the value out, or in quotes',
    '<<: { x: files:./x }': '5:3: stores: a merge (<<) is not allowed; write the keys out',
    'x: !!js/function "f"': '5:20: stores.x: a tag (!) is not allowed',
    '__proto__: { class: source }': '5:3: stores: "__proto__" can’t be a key',
    'uploads: files:./again': '5:3: stores.uploads: written twice; the first is in line 4',
    '? [a, b]\n  : files:./x': '5:5: stores: a key must be a plain word',
  };
  for (const [line, mistake] of Object.entries(table)) {
    assert.ok((await mistakesOfStore(line)).includes(mistake), `${line}: ${(await mistakesOfStore(line)).join(' | ')}`);
  }
  const nul = await mistakesOfStore('x: "files:./a\\0b"');
  assert.equal(nul[0], '5:6: stores.x: the text holds a character that no value may hold');
});

test('an alias bomb is refused before it is unfolded', async () => {
  const levels = Array.from({ length: 9 }, (_, level) => `l${level + 1}: &l${level + 1} [${`*l${level},`.repeat(9)}]`);
  const lines = await mistakesIn(`l0: &l0 x\n${levels.join('\n')}\n`);
  assert.ok(lines.length <= 50);
  assert.ok(lines.every((line) => line.length < 200));
});

test('many mistakes are counted and the first of them told', async () => {
  const text = `${SHORT}${Array.from({ length: 200 }, (_, index) => `key${index}: 1`).join('\n')}\n`;
  await assert.rejects(parseManifest(text, ORIGIN), (error) => {
    assert.ok(error instanceof ManifestError);
    assert.deepEqual([error.mistakes.length, error.mistakeCount], [50, 200]);
    assert.match(error.message, /^200 mistakes, the first is tidemark\.yaml:5:1: key0: unknown key/);
    assert.deepEqual(error.where, { file: 'tidemark.yaml', line: 5, column: 1, key: 'key0' });
    return true;
  });
});

test('line ends of any kind give the same places', async () => {
  const text = 'application: shop\nrepository: ./b\nstores:\n  x: nowhere\n';
  const expected = [
    '4:6: stores.x: expected a kind and a place such as files:./data; supported: embedded, files, postgres, postgresql, redis, rediss',
  ];
  assert.deepEqual(await mistakesIn(text), expected);
  assert.deepEqual(await mistakesIn(text.replaceAll('\n', '\r\n')), expected);
});

test('a store may be named as what every object has', async () => {
  const { stores } = await parseManifest(`${SHORT}  constructor: files:./c\n  valueof: files:./v\n`, ORIGIN);
  assert.deepEqual(
    stores.map(({ name }) => name),
    ['uploads', 'constructor', 'valueof'],
  );
});

test('no text at all makes the check throw anything but mistakes', async () => {
  const pieces = [
    'application: shop',
    'repository: ./b',
    'stores:',
    '  a: files:./a',
    '  b: {url: files:b',
    '}',
    '*a',
    '&a',
    '!!x',
    '- ',
    ': ',
    '\t',
    '"',
    '|',
    '\u0000',
    '\n',
    '{',
    '[',
    '%',
  ];
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string()), { maxLength: 12 }), async (parts) => {
      try {
        await parseManifest(parts.join('\n'), ORIGIN);
      } catch (error) {
        assert.ok(isTidemarkError(error, 'CONFIG_INVALID'), String(error));
      }
    }),
    { numRuns: 300 },
  );
});

test('the manifest that a repository keeps reads back to the same application, without a secret’s source', async () => {
  const before = await parseManifest(LONG, ORIGIN);
  const text = resolvedManifestWithoutSecrets(before);
  assert.doesNotMatch(text, /passphrase/);
  const after = await parseManifest(text, { file: 'the repository’s manifest', folder: '/elsewhere' });
  const comparable = ({ stores, application, bases, timezone, marks, flush, retention }: Configuration): unknown => ({
    stores: stores.map((store) => ({ ...store, written: undefined })),
    application,
    bases,
    timezone,
    marks,
    flush,
    retention,
  });
  assert.deepEqual(comparable(after), comparable(before));
  assert.equal(after.repository.url, before.repository.url);
});

test('the manifest to start from lacks nothing but stores', async () => {
  const text = startingManifest('/home/anna/My Shop', 'file:///schema.json');
  assert.equal(text.split('\n')[0], '# yaml-language-server: $schema=file:///schema.json');
  assert.deepEqual(await mistakesIn(text), [
    '13:8: stores: expected at least one store such as uploads: files:./data/uploads, found nothing',
  ]);
  const { application, repository } = await parseManifest(text.replace('# uploads', 'uploads'), ORIGIN);
  assert.deepEqual([application, repository.url], ['my-shop', '/srv/shop/backups']);
});

test('any folder gives an application a valid name', async () => {
  assert.equal(applicationName('/srv/Größe_2!'), 'grosse-2');
  assert.equal(applicationName('/'), 'application');
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (folder) =>
      assert.match(applicationName(folder), /^[a-z0-9][a-z0-9-]{0,62}$/),
    ),
  );
});
