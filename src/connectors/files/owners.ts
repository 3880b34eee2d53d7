import { fchownSync } from 'node:fs';
import { systemCode } from '../../core/errors.ts';
import { statOpen } from '../../io/native-folder.ts';
import type { Notes } from './notes.ts';

/** What to set of an owner: both or nothing. `exact`: the thing then has the owner that was asked for. */
export type OwnerToSet = {
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly exact: boolean;
};

/** How the system says that an owner can't be set: no permission, a number that is not mapped here, a file system without owners. */
const REFUSALS: ReadonlySet<string | undefined> = new Set(['EPERM', 'EACCES', 'EINVAL', 'ENOSYS', 'ENOTSUP']);

/**
 * Finds out which owners may be set here, once for each pair, by trying on a file of our own: whether a user may depends on more than
 * being root.
 */
export class Owners {
  readonly #probe: number;
  readonly #own: { readonly uid: number; readonly gid: number };
  readonly #known = new Map<string, OwnerToSet>();

  /** `probe`: an open file of this process, made where the restored ones will be. */
  constructor(probe: number) {
    this.#probe = probe;
    this.#own = statOpen(probe);
    this.#known.set(`${this.#own.uid}:${this.#own.gid}`, { exact: true });
  }

  /** For each thing that is restored; what can't be set is counted in `notes`. */
  choose({ uid, gid }: { readonly uid: number; readonly gid: number }, notes?: Notes): OwnerToSet {
    const key = `${uid}:${gid}`;
    const owner = this.#known.get(key) ?? this.#try(uid, gid);
    this.#known.set(key, owner);
    if (!owner.exact) notes?.tally('owner or group can’t be set by this user: left as the system made it');
    return owner;
  }

  #try(uid: number, gid: number): OwnerToSet {
    if (this.#isAllowed(uid, gid)) return { uid, gid, exact: true };
    const own = this.#own.uid;
    return this.#isAllowed(own, gid) ? { uid: own, gid, exact: false } : { exact: false };
  }

  #isAllowed(uid: number, gid: number): boolean {
    try {
      fchownSync(this.#probe, uid, gid);
      const now = statOpen(this.#probe);
      return now.uid === uid && now.gid === gid;
    } catch (error) {
      if (REFUSALS.has(systemCode(error))) return false;
      throw error;
    }
  }
}
