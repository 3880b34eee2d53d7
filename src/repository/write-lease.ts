import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from './access.ts';
import { loadCertificates } from './access.ts';
import type { Certificates } from './access.ts';
import { loadCondemned, openTrusted } from './records/record-log.ts';
import type { PutRecord, Section, Session } from './records/session.ts';

const RENEWALS_PER_LEASE = 4;
/** A record counts only when it lies within this part of a lease after the last beat. */
const COMMIT_PART = 2;

/** What a record depends on, as object keys. */
export type Needs = { readonly objects: ReadonlySet<string>; readonly packFolder: string };

/**
 * Keeps a session alive and makes its commits safe against sweeps, by the protocol of docs/repository-format.md, section 11. What
 * `condemned` names counts as absent for whoever writes.
 */
export class WriteLease {
  readonly #access: RepositoryAccess;
  readonly #session: Session;
  readonly #certificates: Certificates;
  readonly #onCondemned: (keys: readonly string[]) => void;
  readonly #condemned = new Set<string>();

  private constructor(options: { access: RepositoryAccess; session: Session; certificates: Certificates; onCondemned: (keys: readonly string[]) => void }) {
    this.#access = options.access;
    this.#session = options.session;
    this.#certificates = options.certificates;
    this.#onCondemned = options.onCondemned;
  }

  /** Right after the session's start, before anything is reused. `onCondemned` hears of each newly condemned key once. */
  static async open(options: { access: RepositoryAccess; session: Session; onCondemned: (keys: readonly string[]) => void }, run: Run): Promise<WriteLease> {
    const lease = new WriteLease({ ...options, certificates: await loadCertificates(options.access, run) });
    await lease.#look(run);
    return lease;
  }

  get condemned(): ReadonlySet<string> {
    return this.#condemned;
  }

  /** Renews when a quarter of the lease has passed. Cheap otherwise: call it with every piece of work. */
  async keep(run: Run): Promise<void> {
    if (this.#session.sinceBeatMs < this.#access.header.leaseMs / RENEWALS_PER_LEASE) return;
    await this.#session.renew(run);
    await this.#look(run);
  }

  /**
   * Puts a manifest or journal record and resolves once it is sure that it counts and that all it needs stays.
   * @throws FENCED when it came too late or a sweep took something that it needs; then it is void
   */
  async commit(kind: 'manifest' | 'journal', sections: readonly Section[], needs: Needs, run: Run): Promise<PutRecord> {
    await this.#session.renew(run);
    await this.#look(run);
    this.#refuseCondemned(needs);
    const record = await this.#session.put(kind, sections, run);
    const lateMs = record.modifiedMs - this.#session.lastBeatModifiedMs - this.#access.header.leaseMs / COMMIT_PART;
    const problem = lateMs > 0 ? `it came ${lateMs} ms too late` : await this.#findLoss(needs, run);
    if (problem === undefined) return record;
    await this.#session.put('void', [{ name: 'plain', value: { record: record.key } }], run);
    throw fenced(problem);
  }

  async #findLoss(needs: Needs, run: Run): Promise<string | undefined> {
    await this.#look(run);
    const condemned = [...needs.objects].find((key) => this.#condemned.has(key));
    if (condemned !== undefined) return `${condemned} is about to be deleted`;
    const missing = new Set(needs.objects);
    const folders = new Set([...needs.objects].map((key) => (key.startsWith('packs/') ? needs.packFolder : key.slice(0, key.indexOf('/') + 1))));
    for (const folder of folders) {
      for await (const batch of this.#access.objects.list(folder, '', run)) {
        for (const { key } of batch) missing.delete(key);
      }
    }
    const [lost] = missing;
    return lost === undefined ? undefined : `${lost} is gone`;
  }

  #refuseCondemned(needs: Needs): void {
    for (const key of needs.objects) {
      if (this.#condemned.has(key)) throw fenced(`${key} is about to be deleted`);
    }
  }

  async #look(run: Run): Promise<void> {
    const fresh: string[] = [];
    for (const list of await loadCondemned(this.#access, this.#certificates, run)) {
      for (const key of openTrusted(this.#access, list, ['plain'])?.texts('objects') ?? []) {
        if (this.#condemned.has(key)) continue;
        this.#condemned.add(key);
        fresh.push(key);
      }
    }
    if (fresh.length > 0) this.#onCondemned(fresh);
  }
}

function fenced(why: string): TidemarkError {
  return new TidemarkError('FENCED', `this run could not be committed: ${why}`, { disposition: 'retry' });
}
