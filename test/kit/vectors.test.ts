import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { decodeAttributes, encodeAttributes } from '../../src/connectors/files/attributes.ts';
import { readCertificate, openIdKey } from '../../src/repository/format/certificate.ts';
import { boxPair, openBox, signingPair, unseal } from '../../src/repository/format/crypto.ts';
import { readFrames } from '../../src/repository/format/frame.ts';
import { readHeader } from '../../src/repository/format/header.ts';
import { readPayload } from '../../src/repository/format/log-payload.ts';
import { readList, readNode } from '../../src/repository/format/node.ts';
import { openDirectory, openPackHeader, PACK_HEADER_BYTES, unsealBlock } from '../../src/repository/format/pack.ts';
import { openableSection, openSection, readRecord, verifyRecord } from '../../src/repository/format/record.ts';
import { deriveCredential, writerKeys } from '../../src/repository/keys/keyring.ts';
import { openSlot, readSlot } from '../../src/repository/keys/slot.ts';
import { openBlock } from '../../src/repository/pipeline/block.ts';
import { must } from '../../src/core/must.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import { sha256, record } from './format.ts';
import { runKit } from './run-kit.ts';
import { bytesOf, makeVectors, packBlocks, recordSections, treeParts } from './vectors.ts';

type Vectors = ReturnType<typeof makeVectors>;

const path = new URL('vectors.json', import.meta.url);
/** To write the file anew after the format was changed on purpose. */
if (process.env['WRITE_VECTORS'] === 'yes') writeFileSync(path, `${JSON.stringify(makeVectors(), undefined, 2)}\n`);
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors;
const { inputs } = vectors;
const bytes = (text: string): Buffer => Buffer.from(text, 'hex');
const content = boxPair(bytes(inputs.contentSeed));

test('the re-implementation in the tests makes the vectors', () => {
  assert.deepEqual(makeVectors(), vectors);
});

test('Tidemark derives the keys and ids of the vectors', () => {
  const keys = writerKeys(bytes(inputs.idKey));
  assert.equal(Buffer.from(keys.chunkKey).toString('hex'), vectors.keys.chunkKey);
  assert.equal(Buffer.from(keys.nodeKey).toString('hex'), vectors.keys.nodeKey);
  assert.equal(vectors.keys.absentSaltIsZeros, vectors.keys.nodeKey);
  const gear = Buffer.alloc(1024);
  for (const [index, word] of keys.gear.entries()) gear.writeUInt32LE(word, index * 4);
  assert.equal(sha256(gear).toString('hex'), vectors.keys.gearSha256);
  const { id, signingSeed, idKey } = deriveCredential(bytes(inputs.derivationKey), 'writer', 'shop@host');
  const derived = {
    id,
    signingSeed: Buffer.from(signingSeed).toString('hex'),
    idKey: Buffer.from(idKey).toString('hex'),
  };
  assert.deepEqual(derived, vectors.derivedCredential);
});

test('Tidemark opens the box, the header, the key slot and the certificate of the vectors', async () => {
  const opened = openBox({
    pair: content,
    info: 'test',
    aad: bytesOf('aad', 20),
    box: bytes(vectors.box),
    what: 'box',
  });
  assert.equal(Buffer.from(opened).toString('hex'), inputs.content);
  const header = readHeader(Buffer.from(vectors.header), 'header');
  assert.equal(header.id, inputs.repository);
  const repository = inputs.repository;
  const slot = readSlot(Buffer.from(vectors.keySlot), `keys/${inputs.slot}`);
  const keyring = await openSlot(slot, { repository, passphrase: 'pässphrase' });
  assert.deepEqual(Buffer.from(must(keyring?.content, 'a content key').seed), bytes(inputs.contentSeed));
  assert.equal(await openSlot(slot, { repository, passphrase: 'passphrase' }), undefined);
  const key = `credentials/${inputs.credential}`;
  const certificate = readCertificate(Buffer.from(vectors.certificate), { key, repository, rootKey: header.rootKey });
  assert.equal(Buffer.from(openIdKey(certificate, content)).toString('hex'), inputs.idKey);
});

test('Tidemark reads the nodes, lists and attributes of the vectors', () => {
  const { leaves } = treeParts();
  const node = readNode(bytes(vectors.leaf), 'leaf');
  assert.deepEqual(
    node.leaves.map(({ name, content: stored }) => [Buffer.from(name).toString('latin1'), stored?.sizeBytes]),
    [
      ['', undefined],
      ['a', 43],
      ['ab\xff', 43],
      ['b', 200],
      ['c', undefined],
    ],
  );
  for (const [index, leaf] of leaves.entries()) {
    assert.deepEqual(Buffer.from(must(node.leaves[index], 'a leaf').attributes), leaf.attributes);
    assert.deepEqual(Buffer.from(encodeAttributes(decodeAttributes(leaf.attributes))), leaf.attributes);
  }
  const inner = readNode(bytes(vectors.inner), 'inner');
  assert.deepEqual([inner.level, inner.children.map(({ entryCount }) => entryCount)], [1, [5, 1]]);
  assert.equal(readNode(bytes(vectors.emptyLeaf), 'empty').leaves.length, 0);
  assert.deepEqual(
    readList(bytes(vectors.list), 1, 'list').map(({ sizeBytes }) => sizeBytes),
    [43, 200],
  );
});

test('Tidemark reads the frames and the payload of the vectors', () => {
  const owner = { repository: bytes(inputs.repository), credential: bytes(inputs.credential), history: 'uploads' };
  for (const frame of [vectors.frame, vectors.packedFrame]) {
    const [payload, ...others] = [...readFrames(bytes(frame), { owner, pair: content, what: 'frame' })];
    assert.equal(others.length, 0);
    assert.equal(Buffer.from(must(payload, 'a payload')).toString('hex'), vectors.payload);
  }
  const { start, pieces } = readPayload(bytes(vectors.payload), 'payload');
  assert.deepEqual(start, { lineage: 'l', order: '1' });
  const told = [...pieces].map(({ changes, commit }) => [
    changes.map((change) => `${Buffer.from(change.name).toString()} ${'removed' in change ? 'gone' : 'there'}`),
    commit,
  ]);
  const commit = (order: string, atMs: number) => ({ position: { lineage: 'l', order, resume: 'z' }, atMs });
  assert.deepEqual(told, [
    [['b gone'], undefined],
    [['d there'], commit('2', 300)],
    [[], commit('3', 301)],
  ]);
});

test('Tidemark opens the pack of the vectors', () => {
  const owner = { repository: bytes(inputs.repository), writer: bytes(inputs.credential) };
  const pack = bytes(vectors.pack.bytes);
  const header = pack.subarray(0, PACK_HEADER_BYTES);
  const secret = openPackHeader({ header, owner, content, what: 'pack' });
  assert.equal(Buffer.from(secret.key).toString('hex'), inputs.packKey);
  const end = pack.length - 8 - pack.readUInt32LE(pack.length - 8);
  const sealed = pack.subarray(end, pack.length - 8);
  const blocks = openDirectory({ sealed, header, owner, idKey: bytes(inputs.idKey), what: 'pack' });
  let offset = PACK_HEADER_BYTES;
  for (const [number, { sealedBytes, chunks }] of blocks.entries()) {
    const block = unsealBlock({ secret, number, sealed: pack.subarray(offset, offset + sealedBytes), what: 'pack' });
    const expected = must(packBlocks()[number], 'a block').chunks;
    assert.deepEqual(Buffer.from(openBlock(block)), Buffer.concat(expected.map(({ plain }) => plain)));
    assert.deepEqual(
      chunks.map(({ kind }) => kind),
      expected.map(({ kind }) => kind),
    );
    offset += sealedBytes;
  }
  assert.equal(offset, end);
  assert.equal(sha256(header, pack.subarray(end)).toString('hex'), vectors.pack.id);
  const ids = blocks.flatMap(({ chunks }) => chunks.map(({ id }) => Buffer.from(id).toString('hex')));
  assert.deepEqual(ids, [vectors.chunkIds.content, vectors.chunkIds.leaf, vectors.chunkIds.run]);
});

test('Tidemark reads the record of the vectors', () => {
  const key = `manifests/${inputs.session}-00000003`;
  const read = readRecord(bytes(vectors.record.bytes), key);
  assert.equal(read.digest, vectors.record.digest);
  assert.ok(verifyRecord(read, signingPair(bytes(inputs.signingSeed)).publicKey));
  const access = { content, maintenance: boxPair(bytes(inputs.maintenanceSeed)), idKey: bytes(inputs.idKey) };
  for (const { name, value } of recordSections) {
    const section = must(openableSection(read, [name], access), 'a section that opens');
    const fields = openSection(read, section, access);
    for (const [field, text] of Object.entries(value)) assert.equal(fields.text(field), text);
  }
  assert.throws(() => unseal({ key: access.idKey, aad: Buffer.alloc(0), sealed: bytes(vectors.box), what: 'x' }), {
    code: 'REPOSITORY_DAMAGED',
  });
});

test('the kit restores a repository that is made of the vectors', async () => {
  await using temporary = temporaryFolder();
  const put = (key: string, body: string | Buffer): void => {
    mkdirSync(dirname(temporary.at('repository', key)), { recursive: true });
    writeFileSync(temporary.at('repository', key), body);
  };
  const { credential, session, slot } = inputs;
  put('tidemark.json', JSON.stringify(JSON.parse(vectors.header), undefined, '\t'));
  put(`keys/${slot}`, vectors.keySlot);
  put(`credentials/${credential}`, vectors.certificate);
  put(`packs/${credential}/${vectors.pack.id}`, bytes(vectors.pack.bytes));
  const position = { lineage: 'l', order: '1', resume: 'r' };
  const upTo = { lineage: 'l', order: '3', resume: 'z' };
  const frames = bytes(vectors.packedFrame);
  const log = { store: 'uploads', history: 'uploads', after: position, upTo, fromMs: 300, toMs: 301, changes: 2 };
  const segment = { ...log, storedBytes: frames.length, packs: bytes(vectors.pack.id).toString('base64') };
  const base = `manifests/${session}-00000001`;
  const summary = { store: 'uploads', history: 'uploads', logFrom: position, cut: position, entries: 5, bytes: 286 };
  const rest = { exact: 'position', packs: bytes(vectors.pack.id).toString('base64') };
  const mark = {
    id: 'm',
    class: 'clock',
    atMs: 1,
    skewMs: 0,
    positions: { uploads: position },
    bases: { uploads: base },
  };
  const records = [
    ['start', `sessions/${session}/00000000`, [{ name: 'plain', value: { heads: [] } }]],
    [
      'manifest',
      base,
      [
        { name: 'maintenance', value: { ...summary, ...rest } },
        { name: 'content', value: { root: vectors.chunkIds.leaf, level: 0, connector: 'files', skipped: [] } },
      ],
    ],
    [
      'journal',
      `journal/${session}-00000002`,
      [{ name: 'maintenance', value: { marks: [{ ...mark, missing: [] }] }, packed: true }],
    ],
    [
      'journal',
      `journal/${session}-00000003`,
      [
        {
          name: 'maintenance',
          value: {
            marks: [{ ...mark, id: 'n', atMs: 2, missing: [], positions: { uploads: upTo }, bases: {} }],
            segments: [segment],
          },
        },
        { name: 'frames', bytes: frames },
      ],
    ],
  ] as const;
  let previous: Uint8Array = Buffer.alloc(32);
  for (const [counter, [kind, key, sections]] of records.entries()) {
    const header = {
      kind,
      repository: inputs.repository,
      credential,
      session,
      counter,
      previous: Buffer.from(previous).toString('hex'),
    };
    const keys = { contentKey: content.publicKey, maintenanceKey: boxPair(bytes(inputs.maintenanceSeed)).publicKey };
    const signing = { signingSeed: bytes(inputs.signingSeed), idKey: bytes(inputs.idKey), ...keys };
    const made = record({
      header,
      sections,
      ...signing,
      ephemeralSeeds: sections.map((_, index) => bytesOf(`${kind} ${index}`, 32)),
    });
    previous = sha256(made);
    put(key, made);
  }
  const ended = runKit(['restore', temporary.at('repository'), 'm', temporary.at('out')], {
    passphrase: 'pässphrase',
  });
  assert.equal(ended.status, 0, ended.err);
  const restored = readFileSync(join(temporary.path, 'out', 'uploads', 'b'));
  assert.deepEqual([restored.length, restored.subarray(4096, 4296).toString('hex')], [1_000_000, inputs.run]);
  assert.equal(readFileSync(temporary.at('out', 'uploads', 'c')).toString('hex'), inputs.content);
  const rolled = runKit(['restore', temporary.at('repository'), 'latest', temporary.at('later')], {
    passphrase: 'pässphrase',
  });
  assert.equal(rolled.status, 0, rolled.err);
  const names = readdirSync(temporary.at('later', 'uploads'), 'latin1');
  assert.deepEqual(names.toSorted(), ['a', 'ab\xff', 'c', 'd']);
  assert.equal(readFileSync(temporary.at('later', 'uploads', 'd')).toString('hex'), inputs.content);
  const verified = runKit(['verify', temporary.at('repository')], { passphrase: inputs.passphrase });
  assert.equal(verified.status, 0, verified.err);
});
