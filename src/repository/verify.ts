import { fromHex } from '../core/bytes.ts';
import { must } from '../core/must.ts';
import type { RandomBytes, Run } from '../core/run.ts';
import { writerKeysOf } from './access.ts';
import type { RepositoryAccess } from './access.ts';
import { loadCatalogue } from './catalogue.ts';
import type { BaseRecord, Catalogue } from './catalogue.ts';
import { damaged, isDamage } from './format/byte-cursor.ts';
import { packKey } from './format/names.ts';
import type { WriterKeys } from './keys/keyring.ts';
import { readContent } from './records/bodies.ts';
import type { Head } from './records/heads.ts';
import { openTrusted } from './records/record-log.ts';
import { DirectoryMap, openPackDirectory } from './verify/directories.ts';
import type { PackDirectory } from './verify/directories.ts';
import { Affected } from './verify/affected.ts';
import { TreeCheck } from './verify/tree-check.ts';

/** Something that is not as it must be. `affects`: marks, stores and names that can't be restored because of it; bounded. */
export type Damage = { readonly object: string; readonly kind: string; readonly message: string; readonly affects: readonly string[] };

export type VerifyReport = {
  readonly catalogue: Catalogue;
  readonly bases: number;
  readonly chunks: number;
  readonly bytes: number;
  readonly damage: readonly Damage[];
  /** Bases of which every byte was proven. */
  readonly proven: readonly { readonly base: BaseRecord; readonly chunks: number; readonly bytes: number }[];
};

/** What became of one pack's data: ids of chunks that are not what they should be. */
export type PackCheck = { readonly badChunks: readonly Uint8Array[]; readonly chunks: number; readonly bytes: number; readonly message?: string | undefined };

/** Reads every byte of a pack, opens every block and recomputes every id. Several may run at once. */
export interface PackChecker extends AsyncDisposable {
  readonly atOnce: number;
  check(pack: PackDirectory, keys: WriterKeys, run: Run): Promise<PackCheck>;
}

export type VerifyOptions = {
  readonly access: RepositoryAccess;
  readonly remembered: readonly Head[];
  /** Share of the packs whose data is read: 0 for structure alone, 1 for every byte. */
  readonly share: number;
  readonly random: RandomBytes;
  readonly openChecker: () => Promise<PackChecker>;
  readonly onProgress: (progress: { readonly packs: number; readonly totalPacks: number; readonly bytes: number }) => void;
};

/**
 * Checks what could be restored: records and chains, that every base's packs are there and open, every node of every tree, that every chunk is
 * where it should be, and with `share` the bytes themselves. Nothing is taken from local caches. Never throws for damage.
 */
export async function verifyRepository(options: VerifyOptions, run: Run): Promise<VerifyReport> {
  const catalogue = await loadCatalogue(options.access, options.remembered, run);
  const verification = new Verification(options, catalogue);
  return verification.all(run);
}

type WriterView = { readonly keys: WriterKeys; readonly directories: DirectoryMap };

class Verification {
  readonly #options: VerifyOptions;
  readonly #catalogue: Catalogue;
  readonly #damage: Damage[] = [];
  readonly #writers = new Map<string, WriterView>();
  readonly #affected: Affected;
  #chunks = 0;
  #bytes = 0;

  constructor(options: VerifyOptions, catalogue: Catalogue) {
    this.#options = options;
    this.#catalogue = catalogue;
    this.#affected = new Affected(catalogue);
  }

  async all(run: Run): Promise<VerifyReport> {
    for (const { code, message } of this.#catalogue.findings) this.#damage.push({ object: message.split(':')[0] ?? '', kind: code, message, affects: [] });
    const bases = this.#restorableBases();
    const packs = await this.#openDirectories(bases, run);
    const checked = this.#options.share > 0 ? await this.#checkData(packs, run) : new Set<string>();
    const proven: { base: BaseRecord; chunks: number; bytes: number }[] = [];
    for (const base of bases) {
      const tree = await this.#checkTree(base, run);
      const isWhole = tree?.isWhole === true && (base.maintenance?.packs ?? []).every((pack) => checked.has(packKey(base.credential, fromHex(pack))));
      if (isWhole && tree !== undefined) proven.push({ base, chunks: tree.chunks, bytes: tree.bytes });
    }
    const damage = this.#damage.filter((item, index) => this.#damage.findIndex((other) => other.object === item.object && other.message === item.message) === index);
    return { catalogue: this.#catalogue, bases: bases.length, chunks: this.#chunks, bytes: this.#bytes, damage, proven };
  }

  /** Bases that a mark names. Others are leftovers of runs that did not end. */
  #restorableBases(): readonly BaseRecord[] {
    const named = new Set(this.#catalogue.marks.flatMap(({ mark }) => Object.values(mark.bases)));
    return [...this.#catalogue.bases.values()].filter(({ key }) => named.has(key));
  }

  #writer(credential: string): WriterView | undefined {
    const known = this.#writers.get(credential);
    if (known !== undefined) return known;
    const certificate = this.#catalogue.log.certificates.byId.get(credential);
    try {
      const keys = certificate && writerKeysOf(this.#options.access, certificate);
      if (keys === undefined) return undefined;
      const view = { keys, directories: new DirectoryMap() };
      this.#writers.set(credential, view);
      return view;
    } catch (error) {
      if (!isDamage(error)) throw error;
      return undefined;
    }
  }

  /** Opens header and directory of every pack that some base needs. */
  async #openDirectories(bases: readonly BaseRecord[], run: Run): Promise<readonly PackDirectory[]> {
    const wanted = new Map<string, { readonly credential: string; readonly bases: BaseRecord[] }>();
    for (const base of bases) {
      for (const pack of base.maintenance?.packs ?? []) {
        const key = packKey(base.credential, fromHex(pack));
        const item = wanted.get(key) ?? { credential: base.credential, bases: [] };
        wanted.set(key, item);
        item.bases.push(base);
      }
    }
    const opened: PackDirectory[] = [];
    for (const [key, { credential, bases: needing }] of wanted) {
      const writer = this.#writer(credential);
      try {
        if (writer === undefined) throw damaged(`credentials/${credential}`, 'its keys can’t be had');
        const directory = await openPackDirectory(this.#options.access, { key, credential, idKey: writer.keys.idKey }, run);
        writer.directories.add(directory);
        opened.push(directory);
      } catch (error) {
        if (!isDamage(error)) throw error;
        this.#damage.push({ object: key, kind: 'pack', message: must(error instanceof Error ? error.message : undefined, 'an error'), affects: this.#affected.ofBases(needing) });
      }
    }
    return opened;
  }

  /** Returns the keys of the packs of which every byte is good. */
  async #checkData(packs: readonly PackDirectory[], run: Run): Promise<Set<string>> {
    const { share, random, onProgress } = this.#options;
    const chosen = share >= 1 ? packs : sample(packs, share, random);
    const good = new Set<string>();
    await using checker = await this.#options.openChecker();
    let next = 0;
    const work = async (): Promise<void> => {
      for (let pack = chosen[next++]; pack !== undefined; pack = chosen[next++]) {
        run.signal.throwIfAborted();
        const writer = must(this.#writer(pack.credential), 'the writer of an opened pack');
        const result = await checker.check(pack, writer.keys, run);
        this.#chunks += result.chunks;
        this.#bytes += result.bytes;
        if (result.badChunks.length === 0) good.add(pack.key);
        else this.#reportPack(pack, result, writer);
        onProgress({ packs: good.size, totalPacks: chosen.length, bytes: this.#bytes });
      }
    };
    await Promise.all(Array.from({ length: checker.atOnce }, work));
    return good;
  }

  #reportPack(pack: PackDirectory, result: PackCheck, writer: WriterView): void {
    for (const id of result.badChunks) writer.directories.forget(id, pack.key);
    this.#damage.push({
      object: pack.key,
      kind: 'pack',
      message: result.message ?? `${result.badChunks.length} chunks of it are damaged`,
      affects: this.#affected.ofPack(pack),
    });
  }

  async #checkTree(base: BaseRecord, run: Run): Promise<{ readonly isWhole: boolean; readonly chunks: number; readonly bytes: number } | undefined> {
    const writer = this.#writer(base.credential);
    const { access } = this.#options;
    try {
      const fields = openTrusted(access, base.trusted, ['content']);
      if (fields === undefined || writer === undefined) throw damaged(base.key, 'its content section can’t be opened');
      const { root, level } = readContent(fields);
      const check = new TreeCheck({ access, keys: writer.keys, directories: writer.directories, packs: new Set((base.maintenance?.packs ?? []).map((pack) => packKey(base.credential, fromHex(pack)))) });
      const tree = await check.tree({ id: root, level }, run);
      for (const problem of tree.problems) {
        this.#damage.push({ object: problem.object, kind: problem.kind, message: problem.message, affects: this.#affected.ofEntries(base, problem.names) });
      }
      if (this.#options.share === 0) this.#chunks += tree.chunks;
      if (this.#options.share === 0) this.#bytes += tree.bytes;
      const { entries, bytes } = base.summary;
      if (tree.problems.length === 0 && (tree.entries !== entries || tree.bytes !== bytes)) {
        throw damaged(base.key, `it should hold ${entries} entries and ${bytes} bytes, and holds ${tree.entries} and ${tree.bytes}`);
      }
      return { isWhole: tree.problems.length === 0, chunks: tree.chunks, bytes: tree.bytes };
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#damage.push({ object: base.key, kind: 'base', message: error instanceof Error ? error.message : String(error), affects: this.#affected.ofBases([base]) });
      return undefined;
    }
  }
}

/** At least one pack, chosen at random. */
function sample(packs: readonly PackDirectory[], share: number, random: RandomBytes): readonly PackDirectory[] {
  const rest = [...packs];
  const chosen: PackDirectory[] = [];
  const wanted = Math.min(rest.length, Math.max(1, Math.ceil(rest.length * share)));
  while (chosen.length < wanted) {
    const at = new DataView(Uint8Array.from(random(4)).buffer).getUint32(0) % rest.length;
    chosen.push(...rest.splice(at, 1));
  }
  return chosen;
}

