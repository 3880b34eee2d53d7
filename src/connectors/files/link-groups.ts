import { equalBytes } from '../../core/bytes.ts';
import type { LinkGroup } from './attributes.ts';
import type { ByteText } from './byte-text.ts';

/** A further name of a file whose content is not written yet. `parent` is what its owner has to release. */
export type WaitingLink<Parent> = { readonly name: ByteText; readonly relative: ByteText; readonly parent: Parent };

export type LinkState = 'waiting' | 'done' | 'failed';

/** The first name of a file that has several, and what waits for it. */
export class LinkedFile<Parent> {
  readonly relative: ByteText;
  readonly encoded: Uint8Array;
  #state: LinkState = 'waiting';
  #failure: unknown;
  #waiting: WaitingLink<Parent>[] = [];

  constructor(relative: ByteText, encoded: Uint8Array) {
    this.relative = relative;
    this.encoded = encoded;
  }

  get failure(): unknown {
    return this.#failure;
  }

  /** `waiting`: `link` will come back from `settle`. Else it can be linked now, or never. */
  join(link: WaitingLink<Parent>): LinkState {
    if (this.#state === 'waiting') this.#waiting.push(link);
    return this.#state;
  }

  /** The file is written, or failed. Returns what waited for it. */
  settle(failure: unknown): readonly WaitingLink<Parent>[] {
    this.#state = failure === undefined ? 'done' : 'failed';
    this.#failure = failure;
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting;
  }
}

export type NameOfFile = {
  /** Bases and folders number their files separately. */
  readonly origin: string;
  readonly group: LinkGroup;
  /** The stored attributes: names that were described at different states of the file are not the same file any more. */
  readonly encoded: Uint8Array;
  readonly relative: ByteText;
};

/** `first`: nothing to link to; the caller makes the file, and settles it where it is given. `changed`: another state of it came before. */
export type FoundName<Parent> =
  | { readonly first: true; readonly file: LinkedFile<Parent>; readonly changed: false }
  | { readonly first: true; readonly file: undefined; readonly changed: true }
  | { readonly first: false; readonly file: LinkedFile<Parent> };

/** Which names are the same file. Remembers a path for each such file. */
export class LinkGroups<Parent> {
  readonly #files = new Map<string, LinkedFile<Parent>>();

  find({ origin, group, encoded, relative }: NameOfFile): FoundName<Parent> {
    const key = `${origin}:${group.mount}:${group.inode}`;
    const known = this.#files.get(key);
    if (known === undefined) {
      const file = new LinkedFile<Parent>(relative, encoded);
      this.#files.set(key, file);
      return { first: true, file, changed: false };
    }
    if (!equalBytes(known.encoded, encoded)) return { first: true, file: undefined, changed: true };
    return { first: false, file: known };
  }
}
