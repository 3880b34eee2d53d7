import { isTidemarkError, TidemarkError } from '../../core/errors.ts';
import { toHex } from '../../core/bytes.ts';
import type { Run } from '../../core/run.ts';
import type { RepositoryAccess } from '../access.ts';
import type { Json } from '../format/json.ts';
import { recordKey } from '../format/names.ts';
import type { RecordKind } from '../format/names.ts';
import { sha256 } from '../format/crypto.ts';
import { NO_PREVIOUS, writeRecord } from '../format/record.ts';
import type { Section } from '../format/record.ts';
import type { Credential } from '../keys/credential.ts';
import { readWhole } from '../read-whole.ts';
import type { Head } from './heads.ts';

/** What a session says of itself in its start. */
export type SessionInfo = {
  readonly application: string;
  readonly host: string;
  readonly command: string;
  readonly tool: string;
};

/** A record that was put and read back. */
export type PutRecord = {
  readonly key: string;
  readonly counter: number;
  readonly digest: string;
  readonly modifiedMs: number;
};

export const RENEWALS_PER_LEASE = 4;

/**
 * One run of one credential that writes. Its chained records go out one after another. Whoever holds it calls `keep` with every piece of
 * work, so that others see that it lives.
 */
export class Session {
  readonly id: string;
  readonly #access: RepositoryAccess;
  readonly #credential: Credential;
  #counter = 0;
  #beat = 0;
  #condemnedCount = 0;
  #broken: unknown;
  #previous = NO_PREVIOUS;
  #last: Promise<unknown> = Promise.resolve();
  #lastBeatAt: { readonly modifiedMs: number; readonly monotonicMs: number } = { modifiedMs: 0, monotonicMs: 0 };
  #longestSilenceMs = 0;

  private constructor(access: RepositoryAccess, credential: Credential) {
    this.#access = access;
    this.#credential = credential;
    this.id = toHex(access.runtime.random(16));
  }

  /** Puts the start, which names `heads`. */
  static async open(
    options: { access: RepositoryAccess; credential: Credential; heads: readonly Head[]; info: SessionInfo },
    run: Run,
  ): Promise<Session> {
    const { access, info } = options;
    const session = new Session(access, options.credential);
    const heads = options.heads.map(({ session: id, counter, digest }) => ({ session: id, counter, digest }));
    const monotonicMs = access.runtime.clock.monotonicMs();
    const start = await session.put(
      'start',
      [
        { name: 'plain', value: { heads } },
        { name: 'maintenance', value: { ...info, atMs: access.runtime.clock.nowMs() } },
      ],
      run,
    );
    session.#lastBeatAt = { modifiedMs: start.modifiedMs, monotonicMs };
    return session;
  }

  get head(): Head {
    return { session: this.id, counter: this.#counter - 1, digest: this.#previous };
  }

  /** When the last beat was put, by the object store's clock. */
  get lastBeatModifiedMs(): number {
    return this.#lastBeatAt.modifiedMs;
  }

  /** Milliseconds since the last beat was begun, on a clock that counts suspend. */
  get sinceBeatMs(): number {
    return this.#access.runtime.clock.monotonicMs() - this.#lastBeatAt.monotonicMs;
  }

  /**
   * No two beats in a row were more than a lease apart, by the object store's clock: whoever waits until this session has missed two leases
   * still waits.
   */
  get isUnbroken(): boolean {
    return this.#longestSilenceMs <= this.#access.header.leaseMs;
  }

  /** The object store's time, as far as it can be known without asking. Late by no more than clocks drift in a quarter of a lease. */
  get storeNowMs(): number {
    return Math.round(this.#lastBeatAt.modifiedMs + this.sinceBeatMs);
  }

  /** Puts the next record of the chain and reads it back. */
  put(kind: RecordKind, sections: readonly Section[], run: Run): Promise<PutRecord> {
    return this.#inTurn(async () => {
      const counter = this.#counter;
      // After a failed put nobody knows whether the record is there: a next one would make a hole or overwrite.
      if (this.#broken !== undefined) {
        throw new TidemarkError('FAILED', 'this session ended with an error', { cause: this.#broken });
      }
      const { key, bytes } = this.#write({ kind, counter, previous: this.#previous, sections });
      try {
        const modifiedMs = await this.#create(key, bytes, run);
        this.#counter++;
        this.#previous = toHex(sha256(bytes));
        return { key, counter, digest: this.#previous, modifiedMs };
      } catch (error) {
        this.#broken = error;
        throw error;
      }
    });
  }

  /** A sign of life. */
  renew(run: Run): Promise<void> {
    return this.#inTurn(async () => {
      const monotonicMs = this.#access.runtime.clock.monotonicMs();
      const { key, bytes } = this.#write({ kind: 'beat', counter: ++this.#beat, previous: NO_PREVIOUS, sections: [] });
      const modifiedMs = await this.#create(key, bytes, run);
      this.#longestSilenceMs = Math.max(this.#longestSilenceMs, modifiedMs - this.#lastBeatAt.modifiedMs);
      this.#lastBeatAt = { modifiedMs, monotonicMs };
    });
  }

  /** Renews when a quarter of the lease has passed; says whether it did. Cheap otherwise: call it with every piece of work. */
  async keep(run: Run): Promise<boolean> {
    if (this.sinceBeatMs < this.#access.header.leaseMs / RENEWALS_PER_LEASE) return false;
    await this.renew(run);
    return true;
  }

  /** Puts a condemned list; not part of the chain, as it is deleted soon. */
  condemn(body: Json, run: Run): Promise<{ readonly key: string; readonly modifiedMs: number }> {
    return this.#inTurn(async () => {
      const sections: readonly Section[] = [{ name: 'plain', value: body }];
      const { key, bytes } = this.#write({
        kind: 'condemned',
        counter: this.#condemnedCount++,
        previous: NO_PREVIOUS,
        sections,
      });
      return { key, modifiedMs: await this.#create(key, bytes, run) };
    });
  }

  /** The last record: releases the lease at once. */
  async end(run: Run): Promise<void> {
    await this.put('end', [], run);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined); // the caller of this turn gets the error; the next turn only waits
    return result;
  }

  #write(options: { kind: RecordKind; counter: number; previous: string; sections: readonly Section[] }) {
    const { header, runtime } = this.#access;
    const credential = this.#credential;
    const bytes = writeRecord({
      header: {
        kind: options.kind,
        repository: header.id,
        credential: credential.id,
        session: this.id,
        counter: options.counter,
        previous: options.previous,
      },
      sections: options.sections,
      signing: credential.signing,
      keys: header,
      idKey: credential.role === 'writer' ? credential.keys.idKey : undefined,
      random: runtime.random,
    });
    return { key: recordKey(options.kind, this.id, options.counter), bytes };
  }

  async #create(key: string, bytes: Uint8Array, run: Run): Promise<number> {
    const { objects } = this.#access;
    await objects.create(key, [bytes], run);
    try {
      const stored = await readWhole(objects, key, bytes.byteLength, run);
      const info = await objects.stat(key, run);
      if (info !== undefined && Buffer.compare(stored, bytes) === 0) return info.modifiedMs;
      if (info !== undefined) {
        throw new TidemarkError('REPOSITORY_DAMAGED', `${key} does not read back as it was written`);
      }
    } catch (error) {
      if (!isTidemarkError(error, 'OBJECT_NOT_FOUND')) throw error;
    }
    // Only a sweep deletes records, and only of sessions that it takes for dead.
    throw new TidemarkError('FENCED', `this run was away for so long that its record ${key} was swept`, {
      disposition: 'retry',
    });
  }
}
