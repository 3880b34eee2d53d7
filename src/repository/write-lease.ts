import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from './access.ts';
import type { Section } from './format/record.ts';
import { loadCondemned } from './records/record-log.ts';
import { RENEWALS_PER_LEASE } from './records/session.ts';
import type { PutRecord, Session } from './records/session.ts';

/** A record counts only when it lies within this part of a lease after the last beat. */
const COMMIT_PART = 2;

const UNABORTED: Run = { signal: new AbortController().signal };

/** What a record depends on, as object keys. */
export type Needs = { readonly objects: ReadonlySet<string>; readonly packFolder: string };

export type WriteLeaseOptions = {
  readonly access: RepositoryAccess;
  readonly session: Session;
  /** Hears of what counts as absent from now on. */
  readonly onCondemned: (keys: readonly string[]) => void;
};

/**
 * Keeps a session alive and makes its commits safe against sweeps, by the protocol of docs/repository-format.md, section 11. What a condemned
 * list names counts as absent for whoever writes, unless the list waits for this very session.
 */
export class WriteLease implements AsyncDisposable {
  readonly #options: WriteLeaseOptions;
  /** Lists that were read. One that is gone again has still been there. */
  readonly #lists = new Set<string>();
  readonly #condemned = new Set<string>();
  readonly #stop = new AbortController();
  #renewing: Promise<void> | undefined;
  #keeper: Promise<void> | undefined;
  #commits: Promise<unknown> = Promise.resolve();
  /** What the lists name that wait for this session. */
  readonly #waiting: (readonly string[])[] = [];

  private constructor(options: WriteLeaseOptions) {
    this.#options = options;
  }

  /** Right after the session's start, before anything is reused. Renews from now on, however slow the work is, until it is disposed. */
  static async open(options: WriteLeaseOptions, run: Run): Promise<WriteLease> {
    const lease = new WriteLease(options);
    await lease.#look(run);
    lease.#keeper = lease.#keepOn();
    // Who disposes the lease hears of it; until then nobody waits for it.
    lease.#keeper.catch(() => undefined);
    return lease;
  }

  isCondemned(key: string): boolean {
    return this.#condemned.has(key);
  }

  /** Renews when it is time, and looks what was condemned. Cheap otherwise: call it with every piece of work. */
  async keep(run: Run): Promise<void> {
    this.#renewing ??= this.#renewIfDue(run).finally(() => {
      this.#renewing = undefined;
    });
    await this.#renewing;
  }

  async #renewIfDue(run: Run): Promise<void> {
    if (await this.#options.session.keep(run)) await this.#look(run);
  }

  /** For times in which the work does not call: a store that answers slowly, a large file. */
  async #keepOn(): Promise<void> {
    const run: Run = { signal: this.#stop.signal };
    const { access, session } = this.#options;
    const everyMs = access.header.leaseMs / RENEWALS_PER_LEASE;
    while (!run.signal.aborted) {
      try {
        await access.runtime.clock.sleep(Math.max(everyMs - session.sinceBeatMs, everyMs / RENEWALS_PER_LEASE), run);
        await this.keep(run);
      } catch (error) {
        // What keeps it from renewing now meets the work itself soon; a commit depends on its own renewal.
        if (!run.signal.aborted && !isTidemarkError(error)) throw error;
      }
    }
  }

  /** Ends renewing. The session stays as it is. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new TidemarkError('INTERRUPTED', 'the writer is closed'));
    await this.#keeper;
  }

  /**
   * Puts a manifest or journal record and resolves once it is sure that it counts and that all it needs stays. One after another: a record that
   * follows says that the one before is safe.
   * @throws FENCED when it came too late or a sweep took something that it needs; then it is void
   */
  commit(kind: 'manifest' | 'journal', sections: readonly Section[], needs: Needs, run: Run): Promise<PutRecord> {
    const result = this.#commits.then(() => this.#commit(kind, sections, needs, run));
    this.#commits = result.catch(() => undefined); // the caller of this turn gets the error; the next turn only waits
    return result;
  }

  async #commit(
    kind: 'manifest' | 'journal',
    sections: readonly Section[],
    needs: Needs,
    run: Run,
  ): Promise<PutRecord> {
    const { session, access } = this.#options;
    // What needs nothing can't have lost anything: there only the lease counts, and it is kept.
    if (needs.objects.size === 0) await this.keep(run);
    else {
      await session.renew(run);
      await this.#look(run);
      this.#refuseCondemned(needs);
    }
    const record = await session.put(kind, sections, run);
    try {
      // A store may show a record long after the time that it bears, which is when it began to come.
      const afterBeatMs = Math.max(record.modifiedMs - session.lastBeatModifiedMs, session.sinceBeatMs);
      const lateMs = Math.ceil(afterBeatMs) - access.header.leaseMs / COMMIT_PART;
      if (lateMs > 0) throw fenced(`it came ${lateMs} ms too late`);
      if (needs.objects.size > 0) await this.#refuseLoss(needs, run);
      return record;
    } catch (error) {
      // Nothing else may follow a record that is not known to be safe. Also when the run was aborted.
      await session.put('void', [{ name: 'plain', value: { record: record.key } }], UNABORTED);
      throw error;
    }
  }

  /** First the lists, then the objects: a list goes after what it names. @throws FENCED */
  async #refuseLoss(needs: Needs, run: Run): Promise<void> {
    await this.#look(run);
    this.#refuseCondemned(needs);
    const { objects } = this.#options.access;
    const missing = new Set(needs.objects);
    for (const folder of new Set([...needs.objects].map((key) => folderOf(key, needs)))) {
      for await (const batch of objects.list(folder, '', run)) {
        for (const { key } of batch) missing.delete(key);
      }
    }
    for (const key of missing) {
      // A listing may not show yet what was just created.
      if ((await objects.stat(key, run)) === undefined) throw fenced(`${key} is gone`);
    }
  }

  #refuseCondemned(needs: Needs): void {
    for (const key of needs.objects) {
      if (this.#condemned.has(key)) throw fenced(`${key} is about to be deleted`);
    }
  }

  async #look(run: Run): Promise<void> {
    const { access, session, onCondemned } = this.#options;
    const fresh: string[] = [];
    const lists = await loadCondemned(access, run, (key) => this.#lists.has(key));
    for (const { key, sessions, objects } of lists) {
      this.#lists.add(key);
      if (sessions.includes(session.id)) this.#waiting.push(objects);
      else fresh.push(...objects);
    }
    if (!session.isUnbroken) fresh.push(...this.#waiting.splice(0).flat());
    const news = fresh.filter((key) => !this.#condemned.has(key));
    for (const key of news) this.#condemned.add(key);
    if (news.length > 0) onCondemned(news);
  }
}

function folderOf(key: string, { packFolder }: Needs): string {
  return key.startsWith('packs/') ? packFolder : key.slice(0, key.indexOf('/') + 1);
}

function fenced(why: string): TidemarkError {
  return new TidemarkError('FENCED', `this run could not be committed: ${why}`, { disposition: 'retry' });
}
