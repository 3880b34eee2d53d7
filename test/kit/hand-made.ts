/** Repositories made by hand, for what no real writer would write. Everything random comes from a seed. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  attributes,
  box,
  chunkId,
  contentBytes,
  hkdf,
  keySlot,
  list,
  node,
  pack,
  publicHalf,
  record,
  sha256,
  signedJson,
  zstdFrame,
} from './format.ts';
import type { AttributeOptions, Block, Chunk, Content, Inner, Json, KdfCost, Leaf, Section } from './format.ts';

export const PASSPHRASE = 'correct horse';
export const CHEAP: KdfCost = { memoryKiB: 8, passes: 1, parallelism: 1 };

export type Random = (sizeBytes: number) => Buffer;

export function seededRandom(seed: string): Random {
  let count = 0;
  return (sizeBytes) => hkdf(sha256(seed), String((count += 1)), 'random', sizeBytes);
}

export type Writer = {
  readonly id: string;
  readonly role: 'writer' | 'maintainer';
  readonly signingSeed: Buffer;
  readonly idKey: Buffer;
};

export type FileOptions = Omit<Partial<AttributeOptions>, 'type' | 'runs'> & {
  readonly data?: readonly (Uint8Array | string)[] | undefined;
  readonly runs?: AttributeOptions['runs'];
};

/** An entry before it has a place: its content as the chunks that it will have. */
export type Entry = {
  readonly name: string | Uint8Array;
  readonly attributes: Buffer;
  readonly chunks?: readonly Uint8Array[] | undefined;
  /** Chunks go into lists of two below a root list of depth 1. */
  readonly inLists?: boolean | undefined;
};

/** `name` as a path: `/` stands for the zero byte between components. */
export function file(name: string | Uint8Array, options: FileOptions = {}): Entry {
  const { data = [`content of ${String(name)}`], ...rest } = options;
  const chunks = data.map((part) => Buffer.from(part));
  const size = rest.size ?? chunks.reduce((sum, { length }) => sum + length, 0);
  return { name, attributes: attributes({ ...rest, type: 'file', size }), chunks };
}

export function folder(name: string | Uint8Array, options: Partial<AttributeOptions> = {}): Entry {
  return { name, attributes: attributes({ mode: 0o755, ...options, type: 'folder' }) };
}

export function link(name: string | Uint8Array, target: string | Uint8Array): Entry {
  return { name, attributes: attributes({ type: 'link', mode: 0o777, target }) };
}

export function nameBytes(name: string | Uint8Array): Buffer {
  return typeof name === 'string' ? Buffer.from(name.replaceAll('/', '\0')) : Buffer.from(name);
}

export type StoredBase = {
  readonly key: string;
  readonly position: Json;
  readonly history: string;
  readonly packs: readonly string[];
};

export type BaseOptions = {
  readonly store?: string | undefined;
  /** In the order in which they are written, be it right or not. */
  readonly entries: readonly Entry[];
  /** Entries a leaf; the default puts all into one. */
  readonly leafSize?: number | undefined;
  readonly compressed?: boolean | undefined;
  readonly connector?: string | undefined;
  readonly skipped?: readonly Json[] | undefined;
  /** Each chunk of content in a pack of its own. */
  readonly scattered?: boolean | undefined;
  /** With leaves of one entry: the leaf of this one is in no pack. */
  readonly lostLeaf?: string | undefined;
};

export class HandMade {
  readonly path: string;
  readonly id: string;
  readonly random: Random;
  readonly rootSeed: Buffer;
  readonly contentSeed: Buffer;
  readonly maintenanceSeed: Buffer;
  readonly contentKey: Buffer;
  readonly maintenanceKey: Buffer;

  constructor(path: string, seed = 'seed') {
    this.path = path;
    this.random = seededRandom(seed);
    this.id = this.random(16).toString('hex');
    this.rootSeed = this.random(32);
    this.contentSeed = this.random(32);
    this.maintenanceSeed = this.random(32);
    this.contentKey = publicHalf('x25519', this.contentSeed);
    this.maintenanceKey = publicHalf('x25519', this.maintenanceSeed);
    this.write('tidemark.json', this.header());
    this.addSlot(PASSPHRASE, this.keyring());
  }

  write(key: string, bytes: Uint8Array): string {
    mkdirSync(dirname(join(this.path, key)), { recursive: true });
    writeFileSync(join(this.path, key), bytes);
    return key;
  }

  /** `changes` are signed too. */
  header(changes: { readonly [key: string]: Json } = {}): Buffer {
    const fields = {
      format: 'tidemark repository',
      version: 1,
      id: this.id,
      createdAtMs: 1_790_000_000_000,
      rootKey: publicHalf('ed25519', this.rootSeed).toString('base64'),
      contentKey: this.contentKey.toString('base64'),
      maintenanceKey: this.maintenanceKey.toString('base64'),
      leaseMs: 1_800_000,
      chunks: { minBytes: 262_144, averageBytes: 1_048_576, maxBytes: 4_194_304, pageBytes: 65_536 },
    };
    return signedJson('header', { ...fields, ...changes }, this.rootSeed);
  }

  keyring(): { readonly [key: string]: Json } {
    return {
      repository: this.id,
      rootKey: publicHalf('ed25519', this.rootSeed).toString('base64'),
      roles: ['reader', 'maintainer'],
      contentSeed: this.contentSeed.toString('base64'),
      maintenanceSeed: this.maintenanceSeed.toString('base64'),
    };
  }

  addSlot(passphrase: string, keyring: Json, role = 'reader'): string {
    const id = this.random(16).toString('hex');
    const [salt, nonce] = [this.random(16), this.random(12)];
    const slot = keySlot({ repository: this.id, id, role, passphrase, cost: CHEAP, salt, nonce, keyring });
    return this.write(`keys/${id}`, slot);
  }

  writer(stores: readonly string[] = ['*'], role: Writer['role'] = 'writer'): Writer {
    const writer = { id: this.random(16).toString('hex'), role, signingSeed: this.random(32), idKey: this.random(32) };
    this.write(`credentials/${writer.id}`, this.certificate(writer, stores));
    return writer;
  }

  certificate({ id, role, signingSeed, idKey }: Writer, stores: readonly string[], rootSeed = this.rootSeed): Buffer {
    const aad = Buffer.from(id, 'hex');
    const ephemeralSeed = this.random(32);
    const idKeyBox = box({ publicKey: this.contentKey, info: 'id key', aad, plain: idKey, ephemeralSeed });
    const fields = {
      version: 0,
      id,
      repository: this.id,
      role,
      name: 'shop@host',
      stores,
      signingKey: publicHalf('ed25519', signingSeed).toString('base64'),
      ...(role === 'writer' && { idKeyBox: idKeyBox.toString('base64') }),
      createdAtMs: 1,
    };
    return signedJson('certificate', fields, rootSeed);
  }

  session(writer: Writer, heads: readonly Json[] = []): HandMadeSession {
    return new HandMadeSession(this, writer, heads);
  }

  /** Writes a pack and returns its id. */
  pack({ id, idKey }: Writer, blocks: readonly Block[]): string {
    const made = pack({
      repository: Buffer.from(this.id, 'hex'),
      writer: Buffer.from(id, 'hex'),
      idKey,
      contentKey: this.contentKey,
      salt: this.random(16),
      packKey: this.random(32),
      ephemeralSeed: this.random(32),
      blocks,
    });
    const packId = made.id.toString('hex');
    this.write(`packs/${id}/${packId}`, made.bytes);
    return packId;
  }

  /** A repository with one writer, one session, one base and a complete mark of it: the usual start of a test. */
  static withBase(
    path: string,
    options: BaseOptions,
  ): { made: HandMade; writer: Writer; base: StoredBase; session: HandMadeSession } {
    const made = new HandMade(path);
    const writer = made.writer();
    const session = made.session(writer);
    const base = session.base(options);
    session.mark([base]);
    return { made, writer, base, session };
  }
}

export class HandMadeSession {
  readonly made: HandMade;
  readonly writer: Writer;
  readonly id: string;
  counter = 0;
  previous = '0'.repeat(64);
  #bases = 0;
  #marks = 0;

  constructor(made: HandMade, writer: Writer, heads: readonly Json[]) {
    this.made = made;
    this.writer = writer;
    this.id = made.random(16).toString('hex');
    this.put('start', [
      { name: 'plain', value: { heads } },
      {
        name: 'maintenance',
        value: { application: 'shop', host: 'host', command: 'backup', tool: 'by hand', atMs: 1 },
      },
    ]);
  }

  get head(): Json {
    return { session: this.id, counter: this.counter - 1, digest: this.previous };
  }

  /** Puts the next record of the chain and returns its key. `changes` are of its header, `as` signs in place of the session's writer. */
  put(
    kind: string,
    sections: readonly Section[],
    changes: { readonly [key: string]: Json } = {},
    as = this.writer,
  ): string {
    const folders: Readonly<Record<string, string>> = {
      manifest: 'manifests',
      journal: 'journal',
      ledger: 'ledger',
      void: 'void',
    };
    const digits = this.counter.toString(16).padStart(8, '0');
    const plural = folders[kind] ?? `${kind}s`;
    const ownKeys: Readonly<Record<string, string>> = {
      start: `sessions/${this.id}/${digits}`,
      end: `sessions/${this.id}/end`,
    };
    const bytes = record({
      header: {
        kind,
        repository: this.made.id,
        credential: as.id,
        session: this.id,
        counter: this.counter,
        previous: this.previous,
        ...changes,
      },
      sections,
      signingSeed: as.signingSeed,
      contentKey: this.made.contentKey,
      maintenanceKey: this.made.maintenanceKey,
      idKey: as.idKey,
      ephemeralSeeds: sections.map(() => this.made.random(32)),
    });
    this.counter += 1;
    this.previous = createHash('sha256').update(bytes).digest('hex');
    return this.made.write(ownKeys[kind] ?? `${plural}/${this.id}-${digits}`, bytes);
  }

  /** Stores a tree and commits it by a manifest. */
  base(options: BaseOptions): StoredBase {
    const { store = 'uploads', connector = 'files', skipped = [], compressed = false } = options;
    const nodes: Chunk[] = [];
    const contents: Chunk[] = [];
    const add = (kind: Chunk['kind'], plain: Uint8Array): Buffer => {
      (kind === 'node' ? nodes : contents).push({ kind, plain });
      return chunkId(this.writer.idKey, kind, plain);
    };
    const leaves = options.entries.map((entry) => leafOf(entry, add));
    const tree = treeOf(leaves, options.leafSize ?? Number.POSITIVE_INFINITY, add);
    const pays = ({ plain }: Chunk): boolean => compressed && zstdFrame(plain).length < plain.length;
    const blocks = contents.map((chunk): Block => ({ compressed: pays(chunk), chunks: [chunk] }));
    const packs = options.scattered === true ? blocks.map((block) => this.made.pack(this.writer, [block])) : [];
    const lost = leaves.find(({ name }) => name.equals(nameBytes(options.lostLeaf ?? '\0')));
    const kept = nodes.filter(({ plain }) => lost === undefined || !node(0, [lost]).equals(plain));
    const nodeBlocks = kept.map((chunk): Block => ({ chunks: [chunk] }));
    packs.push(this.made.pack(this.writer, options.scattered === true ? nodeBlocks : [...blocks, ...nodeBlocks]));
    this.#bases += 1;
    const cut = { lineage: 'l1', order: String(this.#bases), resume: 'r' };
    const summary = {
      store,
      history: store,
      startedAtMs: 1,
      createdAtMs: 2,
      logFrom: cut,
      cut,
      exact: 'observation',
      entries: tree.entries,
      bytes: tree.bytes,
    };
    const packBytes = Buffer.from([...packs].sort().join(''), 'hex');
    const maintenance = {
      ...summary,
      newBytes: tree.bytes,
      storedBytes: 1,
      skippedCount: skipped.length,
      incompleteCount: 0,
      packs: packBytes.toString('base64'),
    };
    const content = {
      root: tree.id.toString('hex'),
      level: tree.level,
      application: 'shop',
      connector,
      url: 'files:./data',
      manifest: 'application: shop\n',
      tool: 'by hand',
      host: 'host',
      skipped,
    };
    const key = this.put('manifest', [
      { name: 'maintenance', value: maintenance },
      { name: 'writer', value: summary },
      { name: 'content', value: content },
    ]);
    return { key, position: cut, history: store, packs };
  }

  /** Puts a journal object with one mark and returns the mark's id. */
  mark(bases: readonly StoredBase[], changes: { readonly [key: string]: Json } = {}): string {
    this.#marks += 1;
    const mark = {
      id: `mark-${this.#marks}`,
      tags: [],
      class: 'clock',
      atMs: 1_790_000_000_000 + this.#marks * 1000,
      skewMs: 5,
      positions: Object.fromEntries(bases.map(({ history, position }) => [history, position])),
      bases: Object.fromEntries(bases.map(({ history, key }) => [history, key])),
      missing: [],
      ...changes,
    };
    this.put('journal', [{ name: 'maintenance', value: { marks: [mark] } }]);
    return String(mark.id);
  }
}

type Add = (kind: Chunk['kind'], plain: Uint8Array) => Buffer;

function leafOf({ name, attributes: bytes, chunks, inLists }: Entry, add: Add): Leaf & { readonly name: Buffer } {
  const leaf = { name: nameBytes(name), attributes: bytes };
  if (chunks === undefined) return leaf;
  const parts = chunks.map((plain) => ({ id: add('content', plain), bytes: plain.length }));
  if (inLists !== true) return { ...leaf, content: { parts } };
  const pairs = Array.from({ length: Math.ceil(parts.length / 2) }, (_, index) =>
    parts.slice(index * 2, index * 2 + 2),
  );
  const inner = pairs.map((pair) => ({ id: add('node', list(0, pair)), bytes: contentBytes({ parts: pair }) }));
  const total = contentBytes({ parts });
  return { ...leaf, content: { parts: [{ id: add('node', list(1, inner)), bytes: total }], depth: 1 } };
}

type Tree = { readonly id: Buffer; readonly level: number; readonly entries: number; readonly bytes: number };

function treeOf(leaves: readonly Leaf[], leafSize: number, add: Add): Tree {
  const bytesOf = ({ content }: { readonly content?: Content | undefined }): number =>
    content === undefined ? 0 : contentBytes(content);
  let level = 0;
  let items = inGroups(leaves, leafSize).map((group): Inner => {
    const bytes = group.reduce((sum, leaf) => sum + bytesOf(leaf), 0);
    return { name: group[0]?.name ?? Buffer.alloc(0), id: add('node', node(0, group)), entries: group.length, bytes };
  });
  while (items.length > 1) {
    level += 1;
    const height = level;
    items = inGroups(items, 3).map((group): Inner => {
      const entries = group.reduce((sum, item) => sum + item.entries, 0);
      const bytes = group.reduce((sum, item) => sum + item.bytes, 0);
      return { name: group[0]?.name ?? Buffer.alloc(0), id: add('node', node(height, group)), entries, bytes };
    });
  }
  const [root] = items;
  if (root === undefined) throw new Error('a tree has a root');
  return { id: Buffer.from(root.id), level, entries: root.entries, bytes: root.bytes };
}

function inGroups<Item>(items: readonly Item[], size: number): readonly (readonly Item[])[] {
  if (items.length <= size) return [items];
  return [items.slice(0, size), ...inGroups(items.slice(size), size)];
}
