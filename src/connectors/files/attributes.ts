import { TidemarkError } from '../../core/errors.ts';
import type { Extent } from '../../core/recorder.ts';
import { AttributeReader, AttributeWriter } from './attribute-bytes.ts';

/**
 * What is stored of a file, folder or symbolic link besides its content.
 *
 * The layout is version 1 of `docs/formats/files-attributes.md`, which is normative: a head of fixed order, then fields with a tag and
 * a length each.
 */
export type Attributes = {
  readonly type: 'file' | 'folder' | 'link';
  /** The twelve permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  /** Length of the file, holes included; 0 for folders and links. */
  readonly sizeBytes: number;
  /** Of a link: where it leads, as it was written. */
  readonly target?: Uint8Array | undefined;
  readonly linkGroup?: LinkGroup | undefined;
  /** Extended attributes, ACLs and capabilities among them, in ascending order of names. */
  readonly xattrs: readonly ExtendedAttribute[];
  /** Of a file with holes: its runs of data, in order. Its content is these runs and nothing else. */
  readonly extents?: readonly Extent[] | undefined;
};

export type ExtendedAttribute = { readonly name: Uint8Array; readonly value: Uint8Array };

/**
 * Which names are the same file. `mount` is 0 for what lies on the root's file system, else derived from the name of the mount point,
 * because device numbers change with a reboot. `count` is how many names the file had, seen or not.
 */
export type LinkGroup = { readonly mount: bigint; readonly inode: bigint; readonly count: number };

const VERSION = 1;
const TYPES = ['file', 'folder', 'link'] as const;
const NS_PER_SECOND = 1_000_000_000n;
const FIELD = { target: 1, linkGroup: 2, xattr: 3, extents: 4 } as const;

/** Readers pass over fields from here on; one below that they don't know is an error. */
const FIRST_OPTIONAL_FIELD = 128;

const writer = new AttributeWriter();

export function encodeAttributes(attributes: Attributes): Uint8Array {
  writer.clear();
  writer.u8(VERSION);
  writer.u8(TYPES.indexOf(attributes.type));
  writer.varint(attributes.mode);
  writer.varint(attributes.uid);
  writer.varint(attributes.gid);
  const seconds = floorDivide(attributes.mtimeNs, NS_PER_SECOND);
  writer.i64(seconds);
  writer.u32(Number(attributes.mtimeNs - seconds * NS_PER_SECOND));
  writer.varint(attributes.sizeBytes);
  const { target, linkGroup, extents } = attributes;
  if (target !== undefined) writer.field(FIELD.target, (field) => field.raw(target));
  if (linkGroup !== undefined) {
    writer.field(FIELD.linkGroup, (field) => {
      field.u64(linkGroup.mount);
      field.u64(linkGroup.inode);
      field.varint(linkGroup.count);
    });
  }
  for (const { name, value } of attributes.xattrs) {
    writer.field(FIELD.xattr, (field) => {
      field.varint(name.byteLength);
      field.raw(name);
      field.raw(value);
    });
  }
  if (extents !== undefined) writer.field(FIELD.extents, (field) => writeExtents(field, extents));
  return writer.finish();
}

/** @throws REPOSITORY_DAMAGED when `bytes` are not what `encodeAttributes` writes; REPOSITORY_NEWER for a later version. */
export function decodeAttributes(bytes: Uint8Array): Attributes {
  const reader = new AttributeReader(bytes);
  const version = reader.u8();
  if (version > VERSION) {
    throw new TidemarkError('REPOSITORY_NEWER', `attributes of version ${version} are not known here`);
  }
  if (version !== VERSION) throw damaged(`version ${version}`);
  const type = TYPES[reader.u8()];
  if (type === undefined) throw damaged('type');
  const mode = reader.varint();
  if (mode > 0o7777) throw damaged('mode');
  const [uid, gid] = [readId(reader), readId(reader)];
  const seconds = reader.i64();
  const nanoseconds = reader.u32();
  if (nanoseconds >= 1_000_000_000) throw damaged('time');
  const sizeBytes = reader.varint();
  const head = { type, mode, uid, gid, mtimeNs: seconds * NS_PER_SECOND + BigInt(nanoseconds), sizeBytes };
  return checked({ ...head, ...readFields(reader, sizeBytes) });
}

type Fields = Pick<Attributes, 'target' | 'linkGroup' | 'xattrs' | 'extents'>;

function readFields(reader: AttributeReader, sizeBytes: number): Fields {
  const xattrs: ExtendedAttribute[] = [];
  let target: Uint8Array | undefined;
  let linkGroup: LinkGroup | undefined;
  let extents: Extent[] | undefined;
  let lastTag = 0;
  while (!reader.atEnd) {
    const tag = reader.u8();
    if (tag < lastTag || (tag === lastTag && tag !== FIELD.xattr)) throw damaged('order of fields');
    lastTag = tag;
    const field = new AttributeReader(reader.raw(reader.varint()));
    if (tag === FIELD.target) target = field.rest();
    else if (tag === FIELD.linkGroup) linkGroup = { mount: field.u64(), inode: field.u64(), count: field.varint() };
    else if (tag === FIELD.xattr) xattrs.push(readXattr(field, xattrs.at(-1)));
    else if (tag === FIELD.extents) extents = readExtents(field, sizeBytes);
    else if (tag < FIRST_OPTIONAL_FIELD) throw damaged(`field ${tag}`);
    else field.rest();
    if (!field.atEnd) throw damaged(`length of field ${tag}`);
  }
  return { target, linkGroup, xattrs, extents };
}

function readId(reader: AttributeReader): number {
  const id = reader.varint();
  // The highest value means "leave it" to the system.
  if (id >= 0xffff_ffff) throw damaged('owner');
  return id;
}

function readXattr(field: AttributeReader, previous: ExtendedAttribute | undefined): ExtendedAttribute {
  const name = field.raw(field.varint());
  if (name.byteLength === 0 || name.includes(0)) throw damaged('name of an extended attribute');
  if (previous !== undefined && Buffer.compare(previous.name, name) >= 0) throw damaged('order of extended attributes');
  return { name, value: field.rest() };
}

function writeExtents(field: AttributeWriter, extents: readonly Extent[]): void {
  let end = 0;
  for (const extent of extents) {
    field.varint(extent.offset - end);
    field.varint(extent.sizeBytes);
    end = extent.offset + extent.sizeBytes;
  }
}

function readExtents(field: AttributeReader, fileSizeBytes: number): Extent[] {
  const extents: Extent[] = [];
  let end = 0;
  while (!field.atEnd) {
    const offset = end + field.varint();
    const sizeBytes = field.varint();
    end = offset + sizeBytes;
    if (sizeBytes === 0 || end > fileSizeBytes) throw damaged('runs of data');
    extents.push({ offset, sizeBytes });
  }
  return extents;
}

function checked(attributes: Attributes): Attributes {
  const { type, target, extents, linkGroup } = attributes;
  if ((type === 'link') !== (target !== undefined)) throw damaged('target of a link');
  if (target !== undefined && (target.byteLength === 0 || target.includes(0))) throw damaged('target of a link');
  if (type !== 'file' && (extents !== undefined || attributes.sizeBytes !== 0)) {
    throw damaged('size of what is not a file');
  }
  if (type === 'folder' && linkGroup !== undefined) throw damaged('links of a folder');
  return attributes;
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value < quotient * by ? quotient - 1n : quotient;
}

function damaged(what: string): TidemarkError {
  return new TidemarkError('REPOSITORY_DAMAGED', `the stored attributes of an entry are not valid: ${what}`);
}
