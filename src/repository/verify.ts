import { fromHex, toHex } from '../core/bytes.ts';
import { isUndecodable } from '../core/entry-check.ts';
import { must } from '../core/must.ts';
import type { RandomBytes, Run } from '../core/run.ts';
import { writerKeysOf } from './access.ts';
import type { RepositoryAccess } from './access.ts';
import { loadCatalogue } from './catalogue.ts';
import type { BaseRecord, Catalogue } from './catalogue.ts';
import { damaged, isDamage } from './format/byte-cursor.ts';
import { PackTable } from './index/pack-table.ts';
import { basesOfMarks, neededSegments } from './log-needs.ts';
import type { SegmentRecord } from './log-view.ts';
import { readerKey } from './pack-directory.ts';
import { readContent } from './records/bodies.ts';
import type { ManifestContent } from './records/bodies.ts';
import type { Head } from './records/heads.ts';
import { openTrusted } from './records/record-log.ts';
import { Affected } from './verify/affected.ts';
import { addCatalogueDamage } from './verify/catalogue-damage.ts';
import { DamageList } from './verify/damage.ts';
import type { Damage } from './verify/damage.ts';
import { undecodableText } from './verify/decoding.ts';
import type { Decoder, DecoderOf } from './verify/decoding.ts';
import { addKeyDamage, badIndexObjects } from './verify/hints.ts';
import { LogCheck } from './verify/log-check.ts';
import type { PackChecker } from './verify/pack-check.ts';
import { PackPass } from './verify/pack-pass.ts';
import type { PackProgress } from './verify/pack-pass.ts';
import type { TreeProblem } from './verify/tree-check.ts';
import { WriterCheck } from './verify/writer-check.ts';

/** A base of which every byte was read and found good, and whose tree is whole. */
export type ProvenBase = { readonly base: BaseRecord; readonly chunks: number; readonly bytes: number };

export type VerifyReport = {
  /** As it was when the check began. */
  readonly catalogue: Catalogue;
  readonly bases: number;
  readonly segments: number;
  /** With data: chunks and bytes that were read. Else the chunks that are where they should be, and 0. */
  readonly chunks: number;
  readonly bytes: number;
  /** One for each object that is damaged or gone. */
  readonly damage: readonly Damage[];
  /** What is not as it was written, but costs nothing except time: damaged index objects. Only with the data of all packs. */
  readonly notes: readonly string[];
  readonly proven: readonly ProvenBase[];
};

export type VerifyOptions = {
  readonly access: RepositoryAccess;
  readonly remembered: readonly Head[];
  /** Share of the packs whose data is read: 0 for structure alone, 1 for every byte. */
  readonly share: number;
  readonly random: RandomBytes;
  readonly openChecker: () => Promise<PackChecker>;
  readonly decoderOf: DecoderOf;
  readonly onProgress: (progress: PackProgress) => void;
};

/**
 * Checks all that can be restored: records and their chains, that the packs of every base that a mark names are there and open, every node of its tree,
 * that every chunk is in one of its packs, that what is stored of every entry can be decoded, that the frames of every segment that leads to a mark are there, and with `share` the bytes themselves. Nothing is taken from local caches. What no mark needs is not looked
 * at. Never throws for damage. @throws KEY_MISSING without a reader's key
 */
export async function verifyRepository(options: VerifyOptions, run: Run): Promise<VerifyReport> {
  const access = { ...options.access, kept: undefined };
  readerKey(access);
  const catalogue = await loadCatalogue(access, options.remembered, run);
  return await new Verification({ ...options, access }, catalogue).all(run);
}

class Verification {
  readonly #options: VerifyOptions;
  readonly #catalogue: Catalogue;
  readonly #affected: Affected;
  readonly #damage = new DamageList();

  constructor(options: VerifyOptions, catalogue: Catalogue) {
    this.#options = options;
    this.#catalogue = catalogue;
    this.#affected = new Affected(catalogue);
  }

  async all(run: Run): Promise<VerifyReport> {
    const { access, share } = this.#options;
    addCatalogueDamage(this.#catalogue, this.#damage);
    await addKeyDamage(access, this.#damage, run);
    const named = restorableBases(this.#catalogue);
    const segments = segmentsOfMarks(this.#catalogue);
    const byWriter = Map.groupBy(named, ({ credential }) => credential);
    // A log is only reached from bases of its own writer.
    const ofWriter = Map.groupBy(segments, ({ credential }) => credential);
    const totalPacks = byWriter
      .entries()
      .reduce((sum, [credential, bases]) => sum + countPacks(bases, ofWriter.get(credential) ?? []), 0);
    const pass = new PackPass({ ...this.#options, totalPacks, damage: this.#damage });
    const proven: ProvenBase[] = [];
    const notes: string[] = [];
    let known = 0;
    // One after another: what is known of a writer's chunks takes memory.
    for (const [credential, bases] of byWriter) {
      await using writer = await this.#openWriter(credential, bases, run);
      if (writer === undefined) continue;
      const logs = ofWriter.get(credential) ?? [];
      for (const base of bases) writer.need(base.maintenance?.packs ?? []);
      for (const { packs } of logs) writer.need(packs);
      // Before anything else is in memory: index objects are large.
      if (share >= 1) for await (const note of badIndexObjects(access, writer, run)) notes.push(note);
      await pass.check(writer, run);
      const decoders = new Map<string, Decoder>();
      for (const base of bases) proven.push(...(await this.#checkBase(base, { writer, decoders }, run)));
      await this.#logCheck(writer, decoders).all(logs, run);
      writer.assertWhole();
      known += writer.chunkCount;
    }
    await this.#dropForgotten(run);
    const [chunks, bytes] = share > 0 ? [pass.chunks, pass.bytes] : [known, 0];
    const damage = this.#damage.list();
    const counts = { bases: named.length, segments: segments.length, chunks, bytes };
    return { catalogue: this.#catalogue, ...counts, damage, notes, proven };
  }

  #logCheck(writer: WriterCheck, decoders: ReadonlyMap<string, Decoder>): LogCheck {
    const { access, share, random } = this.#options;
    const draw = (): number => new DataView(Uint8Array.from(random(4)).buffer).getUint32(0) / 2 ** 32;
    const readsData = (): boolean => share >= 1 || (share > 0 && draw() < share);
    const decoderOf = (history: string): Decoder | undefined => decoders.get(history);
    return new LogCheck({ access, writer, affected: this.#affected, damage: this.#damage, readsData, decoderOf });
  }

  /** Undefined where its certificate lacks what a reader needs, which is noted. */
  async #openWriter(credential: string, bases: readonly BaseRecord[], run: Run): Promise<WriterCheck | undefined> {
    const { access } = this.#options;
    const certificate = this.#catalogue.log.certificates.byId.get(credential);
    try {
      const keys = writerKeysOf(access, must(certificate, 'the certificate of a record that counts'));
      return await WriterCheck.open(
        access,
        { credential, keys: must(keys, 'a reader to have every writer’s keys') },
        run,
      );
    } catch (error) {
      if (!isDamage(error) || !(error instanceof Error)) throw error;
      const marks = bases.flatMap(({ key }) => this.#affected.marksOf(key));
      this.#damage.add({ object: `credentials/${credential}`, kind: 'certificate', message: error.message, marks });
      return undefined;
    }
  }

  /** What only readers know of the base; undefined where it can't be read, which is noted. */
  #content(base: BaseRecord): ManifestContent | undefined {
    try {
      const fields = openTrusted(this.#options.access, base.trusted, ['content']);
      if (fields === undefined || base.maintenance === undefined) throw damaged(base.key, 'it lacks a section');
      return readContent(fields);
    } catch (error) {
      this.#noteManifest(base, error);
      return undefined;
    }
  }

  /** The base, if it is proven. `decoders`: of the histories of which a base was looked at, to which its own is added. */
  async #checkBase(
    base: BaseRecord,
    { writer, decoders }: { readonly writer: WriterCheck; readonly decoders: Map<string, Decoder> },
    run: Run,
  ): Promise<readonly ProvenBase[]> {
    const content = this.#content(base);
    if (content === undefined) return [];
    const decoder = await this.#options.decoderOf(content.connector);
    if (decoder !== undefined) decoders.set(base.summary.history, decoder);
    const packs = writer.packSet(base.maintenance?.packs ?? []);
    const hurt = [...writer.damagedOf(packs)];
    const closed = hurt.flatMap(({ key, isOpen }) => (isOpen ? [] : key));
    const blamed = new Set<string>();
    let isBlind = false;
    const onProblem = (problem: TreeProblem): void => {
      isBlind ||= problem.kind === 'node';
      blamed.add(this.#noteProblem({ base, pack: writer.packOf(problem), closed }, problem));
    };
    const { root, level } = content;
    const decoding = decoder && {
      kind: content.connector,
      check: decoder.checkEntry,
      onFault: (name: Uint8Array, reason: string) => this.#noteUndecodable(base, reason, name),
    };
    const { entries } = base.summary;
    const tree = await writer.tree({ root, level, entries, packs, onProblem, decoding }, run);
    for (const { key, isOpen } of hurt) {
      // Below a node that can't be read anything may be lost.
      const isLost = blamed.has(key) || (!tree.isWhole && (isBlind || !isOpen));
      this.#damage.add({
        object: key,
        kind: 'pack',
        message: '',
        base: base.key,
        marks: isLost ? this.#affected.marksOf(base.key) : [],
      });
    }
    if (!tree.isWhole) return [];
    const { bytes } = base.summary;
    if (tree.entries !== entries || tree.bytes !== bytes) {
      const found = `${tree.entries} and ${tree.bytes}`;
      this.#noteManifest(
        base,
        damaged(base.key, `it says ${entries} entries and ${bytes} bytes, its tree has ${found}`),
      );
      return [];
    }
    const isProven =
      writer.isProven(packs) && (await this.#hasGoodContents(base, { writer, decoder, root, level }, run));
    return isProven ? [{ base, chunks: tree.chunks, bytes: tree.bytes }] : [];
  }

  /** Of a base of which every byte is good. False where a restore can't make anything of them, which is noted. */
  async #hasGoodContents(
    base: BaseRecord,
    of: { readonly writer: WriterCheck; readonly decoder: Decoder | undefined } & Pick<
      ManifestContent,
      'root' | 'level'
    >,
    run: Run,
  ): Promise<boolean> {
    const { writer, decoder, root, level } = of;
    const { entries, bytes } = base.summary;
    try {
      await decoder?.checkContents?.(writer.reader({ root, level, entries, bytes }), run);
      return true;
    } catch (error) {
      // What was swept away meanwhile is asked for later.
      if (!(isUndecodable(error) || isDamage(error)) || !(error instanceof Error)) throw error;
      this.#noteUndecodable(base, error.message);
      return false;
    }
  }

  /** `name`: of the entry; without one it is the base as a whole. */
  #noteUndecodable(base: BaseRecord, reason: string, name?: Uint8Array): void {
    const names = name === undefined ? [] : this.#affected.entriesOf(base.summary, [{ first: name }]);
    this.#damage.add({
      object: base.key,
      kind: 'entry',
      message: undecodableText(names[0] ?? base.summary.store, reason),
      base: base.key,
      marks: this.#affected.marksOf(base.key),
      names,
    });
  }

  /** Adds what a base lacks to what is to blame for it, and returns that. `closed`: packs of the base that can't be opened. */
  #noteProblem(
    {
      base,
      pack,
      closed,
    }: { readonly base: BaseRecord; readonly pack: string | undefined; readonly closed: readonly string[] },
    problem: TreeProblem,
  ): string {
    const { message, isMissing } = problem;
    const culprit = pack ?? (isMissing && closed.length === 1 ? closed[0] : undefined);
    const where = closed.length > 1 ? `${closed.length} of its packs are damaged` : 'none of its packs has them';
    const missing = { object: base.key, kind: 'base', message: `chunks of it are missing: ${where}` };
    const kind = problem.kind === 'node' ? 'node' : 'chunk';
    const odd = { object: `${kind} ${toHex(problem.id)}`, kind, message };
    const blame = culprit === undefined ? (isMissing ? missing : odd) : { object: culprit, kind: 'pack', message };
    const names = this.#affected.entriesOf(base.summary, [problem.lost]);
    this.#damage.add({ ...blame, base: base.key, marks: this.#affected.marksOf(base.key), names });
    return blame.object;
  }

  #noteManifest(base: BaseRecord, error: unknown): void {
    if (!isDamage(error) || !(error instanceof Error)) throw error;
    this.#damage.add({
      object: base.key,
      kind: 'manifest',
      message: error.message,
      base: base.key,
      marks: this.#affected.marksOf(base.key),
    });
  }

  /** What was given up and swept away while this ran is not damage. */
  async #dropForgotten(run: Run): Promise<void> {
    if (!this.#damage.concernsBases) return;
    const { access, remembered } = this.#options;
    const now = await loadCatalogue(access, remembered, run);
    const needed = new Set([...restorableBases(now), ...segmentsOfMarks(now)].map(({ key }) => key));
    this.#damage.keepBases((base) => needed.has(base));
  }
}

/** Bases that a mark names. Others are leftovers of runs that did not end. */
function restorableBases(catalogue: Catalogue): readonly BaseRecord[] {
  const named = basesOfMarks(catalogue.marks);
  return [...catalogue.bases.values()].filter(({ key }) => named.has(key));
}

/** Segments that lead to a position of a mark. */
function segmentsOfMarks(catalogue: Catalogue): readonly SegmentRecord[] {
  return [...neededSegments(catalogue, { marks: catalogue.marks, ends: [] })];
}

/** Distinct packs of bases and segments of one writer. */
function countPacks(bases: readonly BaseRecord[], segments: readonly SegmentRecord[]): number {
  const packs = new PackTable();
  for (const { maintenance } of bases) for (const pack of maintenance?.packs ?? []) packs.mention(fromHex(pack));
  for (const segment of segments) for (const pack of segment.packs) packs.mention(fromHex(pack));
  return packs.count;
}
