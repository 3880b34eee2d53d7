import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isTidemarkError } from '../../core/errors.ts';
import { decodeAttributes, encodeAttributes } from './attributes.ts';
import type { Attributes } from './attributes.ts';

const bytes = fc
  .uint8Array({ minLength: 1, maxLength: 40 })
  .map((value) => value.map((byte) => (byte === 0 ? 1 : byte)));
const xattrs = fc
  .uniqueArray(fc.record({ name: bytes, value: fc.uint8Array({ maxLength: 300 }) }), {
    selector: ({ name }) => Buffer.from(name).toString('hex'),
  })
  .map((all) => all.sort((left, right) => Buffer.compare(left.name, right.name)));
const linkGroup = fc.option(
  fc.record(
    { mount: fc.bigInt(0n, 2n ** 64n - 1n), inode: fc.bigInt(0n, 2n ** 64n - 1n), count: fc.nat() },
    { noNullPrototype: true },
  ),
  { nil: undefined },
);
const basics = fc.record({
  mode: fc.nat(0o7777),
  uid: fc.nat(0xffff_fffe),
  gid: fc.nat(0xffff_fffe),
  mtimeNs: fc.bigInt(-(2n ** 70n), 2n ** 70n),
  xattrs,
});
const runs = fc.array(fc.record({ gap: fc.nat(1 << 30), sizeBytes: fc.integer({ min: 1, max: 1 << 30 }) }), {
  maxLength: 20,
});

function fileOf(gaps: readonly { gap: number; sizeBytes: number }[]): Pick<Attributes, 'extents' | 'sizeBytes'> {
  let end = 0;
  const extents = gaps.map(({ gap, sizeBytes }) => {
    const offset = end + gap;
    end = offset + sizeBytes;
    return { offset, sizeBytes };
  });
  return { extents, sizeBytes: end + 7 };
}

const anyAttributes: fc.Arbitrary<Attributes> = fc.oneof(
  fc.tuple(basics, linkGroup, runs).map(([head, group, gaps]) => ({
    ...head,
    type: 'file' as const,
    ...fileOf(gaps),
    linkGroup: group,
    target: undefined,
  })),
  basics.map((head) => ({
    ...head,
    type: 'folder' as const,
    sizeBytes: 0,
    target: undefined,
    linkGroup: undefined,
    extents: undefined,
  })),
  fc.tuple(basics, linkGroup, bytes).map(([head, group, target]) => ({
    ...head,
    type: 'link' as const,
    sizeBytes: 0,
    target,
    linkGroup: group,
    extents: undefined,
  })),
);

function plain(attributes: Attributes): unknown {
  const text = (value: Uint8Array): string => Buffer.from(value).toString('hex');
  return {
    ...attributes,
    target: attributes.target === undefined ? undefined : text(attributes.target),
    xattrs: attributes.xattrs.map(({ name, value }) => ({ name: text(name), value: text(value) })),
  };
}

test('attributes come back as they were written', () => {
  fc.assert(
    fc.property(anyAttributes, (attributes) => {
      assert.deepEqual(plain(decodeAttributes(encodeAttributes(attributes))), plain(attributes));
    }),
  );
});

test('any change of attributes is refused or decodes to something that encodes to the same bytes', () => {
  fc.assert(
    fc.property(anyAttributes, fc.nat(), fc.integer({ min: 1, max: 255 }), (attributes, at, flip) => {
      const encoded = Uint8Array.from(encodeAttributes(attributes));
      const place = at % encoded.byteLength;
      encoded[place] = (encoded[place] ?? 0) ^ flip;
      try {
        const decoded = decodeAttributes(encoded);
        const again = encodeAttributes(decoded);
        // An optional field of a later version is passed over and lost.
        if (again.byteLength === encoded.byteLength) assert.deepEqual(Buffer.from(again), Buffer.from(encoded));
      } catch (error) {
        assert.ok(
          isTidemarkError(error, 'REPOSITORY_DAMAGED') || isTidemarkError(error, 'REPOSITORY_NEWER'),
          String(error),
        );
      }
    }),
  );
});

const FILE = { type: 'file', mode: 0o644, uid: 1, gid: 2, mtimeNs: 0n, sizeBytes: 0, xattrs: [] } as const;

test('attributes of any length come back, wherever what is written outgrows the memory for it', () => {
  for (let count = 0; count < 400; count++) {
    const extents = Array.from({ length: count }, (_, index) => ({ offset: index * 3_000 + 7, sizeBytes: 900 }));
    const xattrs = ['user.a', 'user.b'].map((name) => ({ name: Buffer.from(name), value: Buffer.alloc(count, 1) }));
    const attributes = { ...FILE, sizeBytes: count * 3_000, extents, xattrs };
    assert.deepEqual(plain(decodeAttributes(encodeAttributes(attributes))), {
      ...Object(plain(attributes)),
      linkGroup: undefined,
    });
  }
});

test('what could not be encoded leaves nothing behind', () => {
  assert.throws(() => encodeAttributes({ ...FILE, sizeBytes: -1 }));
  assert.equal(decodeAttributes(encodeAttributes(FILE)).mode, 0o644);
});

test('attributes that are cut off are refused', () => {
  const encoded = encodeAttributes({
    type: 'link',
    mode: 0o777,
    uid: 1,
    gid: 2,
    mtimeNs: -1n,
    sizeBytes: 0,
    target: Buffer.from('../there'),
    xattrs: [],
  });
  for (let size = 0; size < encoded.byteLength; size++) {
    assert.throws(() => decodeAttributes(encoded.subarray(0, size)), { code: 'REPOSITORY_DAMAGED' });
  }
});

const hostile: readonly (readonly [string, Attributes])[] = [
  ['a link without a target', { type: 'link', mode: 0, uid: 0, gid: 0, mtimeNs: 0n, sizeBytes: 0, xattrs: [] }],
  [
    'a target with a zero byte',
    { type: 'link', mode: 0, uid: 0, gid: 0, mtimeNs: 0n, sizeBytes: 0, xattrs: [], target: Buffer.from('a\0b') },
  ],
  ['a folder with a size', { type: 'folder', mode: 0, uid: 0, gid: 0, mtimeNs: 0n, sizeBytes: 9, xattrs: [] }],
  [
    'a run of data beyond the end',
    {
      type: 'file',
      mode: 0,
      uid: 0,
      gid: 0,
      mtimeNs: 0n,
      sizeBytes: 9,
      xattrs: [],
      extents: [{ offset: 8, sizeBytes: 2 }],
    },
  ],
  [
    'an empty run of data',
    {
      type: 'file',
      mode: 0,
      uid: 0,
      gid: 0,
      mtimeNs: 0n,
      sizeBytes: 9,
      xattrs: [],
      extents: [{ offset: 8, sizeBytes: 0 }],
    },
  ],
  [
    'an owner that means "leave it"',
    { type: 'file', mode: 0, uid: 0xffff_ffff, gid: 0, mtimeNs: 0n, sizeBytes: 9, xattrs: [] },
  ],
  [
    'a mode beyond the permission bits',
    { type: 'file', mode: 0o10000, uid: 0, gid: 0, mtimeNs: 0n, sizeBytes: 9, xattrs: [] },
  ],
  [
    'an extended attribute without a name',
    {
      type: 'file',
      mode: 0,
      uid: 0,
      gid: 0,
      mtimeNs: 0n,
      sizeBytes: 9,
      xattrs: [{ name: Buffer.alloc(0), value: Buffer.alloc(0) }],
    },
  ],
];

for (const [what, attributes] of hostile) {
  test(`refuses ${what}`, () => {
    assert.throws(() => decodeAttributes(encodeAttributes(attributes)), { code: 'REPOSITORY_DAMAGED' });
  });
}

test('the bytes of version 1 stay what they are', () => {
  const encoded = encodeAttributes({
    type: 'file',
    mode: 0o4755,
    uid: 1000,
    gid: 50,
    mtimeNs: -1n,
    sizeBytes: 5_000_000_000,
    linkGroup: { mount: 0n, inode: 77n, count: 2 },
    xattrs: [{ name: Buffer.from('user.a'), value: Buffer.from('x') }],
    extents: [{ offset: 4096, sizeBytes: 4096 }],
  });
  assert.equal(
    Buffer.from(encoded).toString('hex'),
    '0100' +
      'ed13' +
      'e807' +
      '32' +
      'ffffffffffffffff' +
      'ffc99a3b' +
      '80e497d012' +
      '0211' +
      '0000000000000000' +
      '4d00000000000000' +
      '02' +
      '0308' +
      '06757365722e61' +
      '78' +
      '0404' +
      '80208020',
  );
});
