import { rmSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { fromSystem, systemCode } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { Run, Runtime } from '../../core/run.ts';
import type { ObjectNews } from './chunk-index.ts';
import type { IndexFolder } from './index-folder.ts';
import type { Memtable } from './memtable.ts';
import { chooseMerge } from './merge-policy.ts';
import { mergeRecords } from './merge.ts';
import type { PackTable } from './pack-table.ts';
import { RunFile } from './run-file.ts';
import { TAG_BYTES } from './run-layout.ts';
import { EMPTY_LIST, union, withNews } from './run-list.ts';
import type { RunEntry, RunList } from './run-list.ts';
import { RunWriter } from './run-writer.ts';

const MAX_PUBLISHED_RUNS = 6;
const MAX_UNPUBLISHED_RUNS = 4;

/** A run of this process's view. It is in the list, under the name of `entry`, or still a part. */
export type OpenRun = { readonly run: RunFile; readonly published: boolean; path: string; file: string | undefined };

export type RunSetOptions = { readonly folder: IndexFolder; readonly packs: PackTable; readonly runtime: Runtime };

/**
 * The runs that this process looks into, and what is done to them. The view changes only here and in one step; calls
 * that wait must not overlap. What other processes do shows after `reload`.
 */
export class RunSet implements Disposable {
  readonly #folder: IndexFolder;
  readonly #packs: PackTable;
  readonly #runtime: Runtime;
  #open: OpenRun[] = [];
  #list: RunList = EMPTY_LIST;
  #serial = 0;

  constructor({ folder, packs, runtime }: RunSetOptions) {
    this.#folder = folder;
    this.#packs = packs;
    this.#runtime = runtime;
  }

  get open(): readonly OpenRun[] {
    return this.#open;
  }

  /** The list as it was when it was read or changed last. */
  get list(): RunList {
    return this.#list;
  }

  /** Writes the records as a part, which is looked into from now on. @throws DISK_FULL, FAILED */
  spill(records: Memtable, published: boolean): void {
    const path = this.#folder.newPart();
    try {
      using writer = this.#createWriter(path, records.count);
      for (const offset of records.offsetsInOrder()) writer.append(records.view, offset);
      writer.finish();
      this.#open.push({ run: this.#openRun(path), published, path, file: undefined });
    } catch (error) {
      rmSync(path, { force: true });
      throw fromSystem(error, 'FAILED', 'the local index of chunks can’t be written');
    }
  }

  /** Puts parts into the list, with the news. */
  async commit(news: ObjectNews, run: Run): Promise<void> {
    const parts = this.#open.filter(({ file }) => file === undefined);
    if (this.#folder.lasts) for (const part of parts) await part.run.sync();
    const added: { part: OpenRun; file: string }[] = [];
    const list = await this.#folder.change(async (before) => {
      for (const part of parts) {
        const file = this.#folder.newRunName();
        await rename(part.path, this.#folder.pathOf(file));
        part.path = this.#folder.pathOf(file);
        added.push({ part, file });
      }
      const entries = added.map(({ part, file }) => entryOf(file, part.run, part.published));
      const owner = entries.find(({ published }) => published)?.file;
      return withNews({ ...before, runs: [...before.runs, ...entries] }, news, owner);
    }, run);
    for (const { part, file } of added) part.file = file;
    this.#list = list;
  }

  /** The run is published, and the objects are known. */
  async markPublished(file: string, news: ObjectNews, run: Run): Promise<void> {
    const list = await this.#folder.change((before) => {
      const runs = before.runs.map((entry) => (entry.file === file ? { ...entry, published: true } : entry));
      return withNews({ ...before, runs }, news, file);
    }, run);
    this.#open = this.#open.map((open) => (open.file === file ? { ...open, published: true } : open));
    this.#list = list;
  }

  /** Merges until there are few. True when something was merged: packs that don't exist are gone from what was. */
  async merge(run: Run): Promise<boolean> {
    let merged = false;
    for (const published of [true, false]) {
      for (let inputs = this.#chooseInputs(published); inputs.length > 0; inputs = this.#chooseInputs(published)) {
        if (!(await this.#mergeRuns(inputs, published, run))) break;
        merged = true;
      }
    }
    return merged;
  }

  /** Drops damaged runs for good, opens those of other processes, lets go of those that are no longer in the list. */
  async reload(run: Run): Promise<void> {
    const damaged = new Set(this.#open.flatMap((open) => (isWhole(open) ? [] : (open.file ?? []))));
    const opened: OpenRun[] = [];
    using unused = new DisposableStack();
    unused.defer(() => opened.forEach(({ run }) => run.release()));
    this.#list = await this.#folder.change((before) => {
      const known = new Set(this.#open.map(({ file }) => file));
      for (const { file, published } of before.runs) {
        if (known.has(file)) continue;
        const path = this.#folder.pathOf(file);
        const found = this.#tryOpenRun(path);
        if (found === undefined) damaged.add(file);
        else opened.push({ run: found, published, path, file });
      }
      return damaged.size === 0 ? before : { ...before, runs: before.runs.filter(({ file }) => !damaged.has(file)) };
    }, run);
    if (damaged.size > 0) {
      this.#runtime.logger.log('warn', 'parts of the local index of chunks are damaged: they are rebuilt', {
        files: [...damaged],
      });
    }
    const published = new Map(this.#list.runs.map((entry) => [entry.file, entry.published]));
    unused.move();
    const stays = (open: OpenRun): boolean => isWhole(open) && (open.file === undefined || published.has(open.file));
    const all = [...this.#open, ...opened];
    for (const open of all) if (!stays(open)) open.run.release();
    this.#open = all
      .filter(stays)
      .map((open) => ({ ...open, published: published.get(open.file ?? '') ?? open.published }));
  }

  [Symbol.dispose](): void {
    for (const { run } of this.#open) run.release();
    this.#open = [];
  }

  #chooseInputs(published: boolean): readonly OpenRun[] {
    const runs = this.#open.filter((open) => open.file !== undefined && open.published === published && isWhole(open));
    const sizes = runs.map((open) => open.run.recordCount);
    return chooseMerge(sizes, published ? MAX_PUBLISHED_RUNS : MAX_UNPUBLISHED_RUNS).flatMap((at) => runs[at] ?? []);
  }

  /** False when another process was faster, or an input is damaged: then nothing has changed. */
  async #mergeRuns(inputs: readonly OpenRun[], published: boolean, run: Run): Promise<boolean> {
    const path = this.#folder.newPart();
    await using cleanup = new AsyncDisposableStack();
    cleanup.defer(() => rm(path, { force: true }));
    const recordCount = await this.#writeMerged(inputs, path, run);
    if (recordCount === undefined) return false;
    const merged = this.#openRun(path);
    const file = this.#folder.newRunName();
    const output: OpenRun = { run: merged, published, path: this.#folder.pathOf(file), file };
    const names = new Set(inputs.map((input) => input.file));
    if (this.#folder.lasts) await merged.sync();
    let done = false;
    this.#list = await this.#folder.change(async (before) => {
      const replaced = before.runs.filter((entry) => names.has(entry.file) && entry.published === published);
      if (replaced.length < inputs.length) return before;
      done = true;
      const objects = replaced.reduce((all: readonly string[], entry) => union(all, entry.objects), []);
      const rest = before.runs.filter((entry) => !names.has(entry.file));
      if (recordCount === 0) return { ...before, runs: rest, objects: union(before.objects, objects) };
      await rename(path, output.path);
      return { ...before, runs: [...rest, { ...entryOf(file, merged, published), objects }] };
    }, run);
    if (done) this.#replace(inputs, recordCount === 0 ? [] : [output]);
    if (!done || recordCount === 0) merged.release();
    return done;
  }

  async #writeMerged(inputs: readonly OpenRun[], path: string, run: Run): Promise<number | undefined> {
    using writer = this.#createWriter(
      path,
      inputs.reduce((sum, input) => sum + input.run.recordCount, 0),
    );
    try {
      for await (const { view, count } of mergeRecords(
        inputs.map((input) => input.run.source()),
        run,
      )) {
        writer.appendExisting(view, count);
      }
      writer.finish();
      return writer.recordCount;
    } catch (error) {
      // A damaged input does not count from now on; the rest is merged another time.
      if (!inputs.every(isWhole)) return undefined;
      if (run.signal.aborted) throw error;
      throw fromSystem(error, 'FAILED', 'the local index of chunks can’t be merged');
    }
  }

  #replace(from: readonly OpenRun[], by: readonly OpenRun[]): void {
    this.#open = [...this.#open.filter((open) => !from.includes(open)), ...by];
    for (const { run } of from) run.release();
  }

  #createWriter(path: string, maxRecords: number): RunWriter {
    return new RunWriter({ path, maxRecords, packs: this.#packs, tag: this.#runtime.random(TAG_BYTES) });
  }

  #openRun(path: string): RunFile {
    return must(this.#tryOpenRun(path), 'what was just written to be whole');
  }

  #tryOpenRun(path: string): RunFile | undefined {
    this.#serial += 1;
    try {
      return RunFile.open(path, this.#serial, this.#packs);
    } catch (error) {
      if (systemCode(error) === 'ENOENT' || systemCode(error) === 'EIO') return undefined;
      throw error;
    }
  }
}

function isWhole({ run }: OpenRun): boolean {
  return run.fault === undefined;
}

function entryOf(file: string, run: RunFile, published: boolean): RunEntry {
  return { file, records: run.recordCount, published, objects: [] };
}
