/**
 * The vectors of vectors.json, made anew by the re-implementation in format.ts: each is inputs and what must come out, bytes as hexadecimal.
 * Inputs that stand for random bytes are `bytesOf(label)`: repetitions of the label.
 */
import { hkdfSync } from 'node:crypto';
import {
  attributes,
  box,
  chunkId,
  derivedKeys,
  frame,
  hkdf,
  joined,
  keySlot,
  list,
  node,
  pack,
  payload,
  publicHalf,
  record,
  sha256,
  signedJson,
} from './format.ts';
import type { Block } from './format.ts';

export function bytesOf(label: string, sizeBytes: number): Buffer {
  return Buffer.alloc(sizeBytes, label);
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export const inputs = {
  repository: hex(bytesOf('repository', 16)),
  credential: hex(bytesOf('writer', 16)),
  session: hex(bytesOf('session', 16)),
  slot: hex(bytesOf('slot', 16)),
  rootSeed: hex(bytesOf('root', 32)),
  contentSeed: hex(bytesOf('content', 32)),
  maintenanceSeed: hex(bytesOf('maintenance', 32)),
  signingSeed: hex(bytesOf('signing', 32)),
  idKey: hex(bytesOf('id key', 32)),
  derivationKey: hex(bytesOf('derivation', 32)),
  salt: hex(bytesOf('salt', 16)),
  nonce: hex(bytesOf('nonce', 12)),
  packKey: hex(bytesOf('pack key', 32)),
  ephemeralSeed: hex(bytesOf('ephemeral', 32)),
  passphrase: 'pa\u0308ssphrase',
  content: hex(Buffer.from('The quick brown fox jumps over the lazy dog')),
  run: hex(Buffer.alloc(200, 'z')),
};

const of = (name: keyof typeof inputs): Buffer => Buffer.from(inputs[name], 'hex');
const ephemeralSeed = of('ephemeralSeed');
const contentKey = publicHalf('x25519', of('contentSeed'));
const maintenanceKey = publicHalf('x25519', of('maintenanceSeed'));
const rootKey = publicHalf('ed25519', of('rootSeed')).toString('base64');

export const headerFields = {
  format: 'tidemark repository',
  version: 1,
  id: inputs.repository,
  createdAtMs: 1_790_000_000_000,
  rootKey,
  contentKey: contentKey.toString('base64'),
  maintenanceKey: maintenanceKey.toString('base64'),
  leaseMs: 1_800_000,
  chunks: { minBytes: 262_144, averageBytes: 1_048_576, maxBytes: 4_194_304, pageBytes: 65_536 },
};

export const keyring = {
  repository: inputs.repository,
  rootKey,
  roles: ['reader', 'maintainer'],
  contentSeed: of('contentSeed').toString('base64'),
  maintenanceSeed: of('maintenanceSeed').toString('base64'),
};

export const treeParts = () => {
  const content = { id: chunkId(of('idKey'), 'content', of('content')), bytes: of('content').length };
  const run = { id: chunkId(of('idKey'), 'content', of('run')), bytes: of('run').length };
  const root = { name: Buffer.alloc(0), attributes: attributes({ type: 'folder', mode: 0o755, seconds: 1n }) };
  const file = { type: 'file', size: 43, uid: 1000, gid: 1000, seconds: -2n, nanoseconds: 999_999_999 } as const;
  const sparse = { type: 'file', size: 1_000_000, runs: [[4096, 200]] } as const;
  const leaves = [
    root,
    { name: Buffer.from('a'), attributes: attributes({ ...file, inode: 9n }), content: { parts: [content] } },
    {
      name: Buffer.from('ab\xff', 'latin1'),
      attributes: attributes({ ...file, inode: 9n }),
      content: { parts: [content] },
    },
    {
      name: Buffer.from('b'),
      attributes: attributes({ ...sparse, xattrs: [['user.x', 'y']] }),
      content: { parts: [run] },
    },
    { name: Buffer.from('c'), attributes: attributes({ type: 'link', mode: 0o777, target: 'a' }) },
  ];
  return { content, run, leaves };
};

export const packBlocks = (): readonly Block[] => {
  const { leaves } = treeParts();
  return [
    {
      chunks: [
        { kind: 'content', plain: of('content') },
        { kind: 'node', plain: node(0, leaves) },
      ],
    },
    { compressed: true, chunks: [{ kind: 'content', plain: of('run') }] },
  ];
};

export const recordHeader = (kind: string, counter: number, previous: Uint8Array) => ({
  kind,
  repository: inputs.repository,
  credential: inputs.credential,
  session: inputs.session,
  counter,
  previous: hex(previous),
});

export const recordSections = [
  { name: 'maintenance', value: { store: 'uploads' } },
  { name: 'writer', value: { store: 'uploads' } },
  { name: 'content', value: { root: 'x' } },
  { name: 'plain', value: { record: 'y' } },
] as const;

function derived() {
  const id = hkdf(of('derivationKey'), '', 'tidemark credential id\nwriter\nshop@host', 16);
  return {
    id: hex(id),
    signingSeed: hex(hkdf(of('derivationKey'), id, 'tidemark signing seed', 32)),
    idKey: hex(hkdf(of('derivationKey'), id, 'tidemark id key', 32)),
  };
}

/** A log in which `b` goes and a file `d` comes with the content of `a`, in two pieces of one transaction; then a heartbeat. */
const logPayload = (): Buffer => {
  const { content } = treeParts();
  const described = attributes({ type: 'file', size: 43 });
  return payload('l', '1', [
    { changes: [{ name: Buffer.from('b'), removed: true }] },
    {
      changes: [{ name: Buffer.from('d'), attributes: described, content: { parts: [content] } }],
      commit: { order: '2', resume: 'z', atMs: 300 },
    },
    { changes: [], commit: { order: '3', resume: 'z', atMs: 301 } },
  ]);
};

const logFrame = (compressed: boolean): Buffer =>
  frame({
    repository: of('repository'),
    credential: of('credential'),
    history: 'uploads',
    contentKey,
    ephemeralSeed,
    payload: logPayload(),
    compressed,
  });

export function makeVectors() {
  const keys = derivedKeys(of('idKey'));
  const { content, run, leaves } = treeParts();
  const leaf = node(0, leaves);
  const leafId = chunkId(of('idKey'), 'node', leaf);
  const inner = [
    { name: Buffer.alloc(0), id: leafId, entries: 5, bytes: 286 },
    { name: Buffer.from('d'), id: content.id, entries: 1, bytes: 0 },
  ];
  const aad = bytesOf('aad', 20);
  const signing = { signingSeed: of('signingSeed'), contentKey, maintenanceKey, idKey: of('idKey') };
  const packed = pack({
    repository: of('repository'),
    writer: of('credential'),
    idKey: of('idKey'),
    contentKey,
    salt: of('salt'),
    packKey: of('packKey'),
    ephemeralSeed,
    blocks: packBlocks(),
  });
  const slot = {
    repository: inputs.repository,
    id: inputs.slot,
    role: 'reader',
    passphrase: inputs.passphrase,
    keyring,
  };
  const certificate = {
    version: 0,
    id: inputs.credential,
    repository: inputs.repository,
    role: 'writer',
    name: 'shop@host',
    stores: ['*'],
    signingKey: publicHalf('ed25519', of('signingSeed')).toString('base64'),
    idKeyBox: box({
      publicKey: contentKey,
      info: 'id key',
      aad: of('credential'),
      plain: of('idKey'),
      ephemeralSeed,
    }).toString('base64'),
    createdAtMs: 1,
  };
  const written = record({
    header: recordHeader('manifest', 3, sha256('before')),
    sections: recordSections,
    ...signing,
    ephemeralSeeds: recordSections.map(() => ephemeralSeed),
  });
  return {
    inputs,
    keys: {
      contentKey: hex(contentKey),
      chunkKey: hex(keys.chunkKey),
      nodeKey: hex(keys.nodeKey),
      gearSha256: hex(sha256(keys.gear)),
      directoryKey: hex(hkdf(of('idKey'), of('salt'), 'tidemark directory', 32)),
      indexKey: hex(hkdf(of('idKey'), of('salt'), 'tidemark index', 32)),
      absentSaltIsZeros: hex(Buffer.from(hkdfSync('sha256', of('idKey'), Buffer.alloc(32), 'tidemark node id', 32))),
    },
    derivedCredential: derived(),
    box: hex(box({ publicKey: contentKey, info: 'test', aad, plain: of('content'), ephemeralSeed })),
    header: signedJson('header', headerFields, of('rootSeed')).toString(),
    keySlot: keySlot({
      ...slot,
      cost: { memoryKiB: 8, passes: 1, parallelism: 1 },
      salt: of('salt'),
      nonce: of('nonce'),
    }).toString(),
    certificate: signedJson('certificate', certificate, of('rootSeed')).toString(),
    chunkIds: {
      content: hex(content.id),
      run: hex(run.id),
      leaf: hex(leafId),
      contentAsNode: hex(chunkId(of('idKey'), 'node', of('content'))),
    },
    leaf: hex(leaf),
    inner: hex(node(1, inner)),
    emptyLeaf: hex(node(0, [])),
    list: hex(list(1, [content, run])),
    payload: hex(logPayload()),
    frame: hex(logFrame(false)),
    packedFrame: hex(logFrame(true)),
    pack: { id: hex(packed.id), bytes: hex(packed.bytes) },
    record: { digest: hex(sha256(written)), bytes: hex(joined(written)) },
  };
}
