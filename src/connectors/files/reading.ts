import { lstatSync } from 'node:fs';
import { systemCode } from '../../core/errors.ts';
import { assume } from '../../core/must.ts';
import type { Description, Entry } from '../../core/recorder.ts';
import type { Run } from '../../core/run.ts';
import { bytesOf, systemPath } from './byte-text.ts';
import { bytesToRead, describe, typeOf } from './describe.ts';
import type { Found } from './describe.ts';
import { isGone, reasonOf } from './errors.ts';
import { statusOf } from './file-status.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { TimeTrust } from './fingerprint.ts';
import type { ScanItem } from './scan.ts';
import { SkippedList } from './skipped.ts';

/** How often a file that changes is read before it is taken as it is. */
const ATTEMPTS = 3;

/** Makes entries of what a scan found, and tries again what changes while it is read. */
export class EntryReading {
  readonly skipped = new SkippedList();
  readonly #scanStartNs: bigint;

  constructor(scanStartNs: bigint) {
    this.#scanStartNs = scanStartNs;
  }

  entry({ found, remote }: ScanItem): TreeEntry {
    return this.#entry(found, { remote, attempt: 1, tolerant: false });
  }

  trust(remote: boolean): TimeTrust {
    return { scanStartNs: this.#scanStartNs, remote };
  }

  /** See `Base.retry`. */
  retry(entry: Entry, cause: unknown, run: Run): TreeEntry | undefined {
    run.signal.throwIfAborted();
    assume(entry instanceof TreeEntry, 'an entry of this base');
    const { name } = entry.found;
    if (systemCode(cause) !== undefined && !isGone(cause)) {
      this.skipped.add(name, 'unreadable', reasonOf(cause));
      return undefined;
    }
    const found = this.#lookAgain(entry.found);
    if (found === undefined) return undefined;
    if (entry.tolerant) {
      // It was there each time and could not be read even as it is.
      this.skipped.add(name, 'unreadable', reasonOf(cause));
      return undefined;
    }
    const tolerant = entry.attempt >= ATTEMPTS;
    if (tolerant) {
      this.skipped.add(name, 'changed', `it changed while it was read, ${ATTEMPTS} times: kept as it was read last`);
    }
    return this.#entry(found, { remote: entry.remote, attempt: entry.attempt + 1, tolerant });
  }

  #entry(found: Found, reading: Reading): TreeEntry {
    const fingerprint = reading.tolerant ? undefined : fingerprintOf(found.status, this.trust(reading.remote));
    return new TreeEntry(found, { reading, fingerprint, skipped: this.skipped });
  }

  /** The file as it is now, or undefined when that was reported. */
  #lookAgain(found: Found): Found | undefined {
    const { name, path } = found;
    try {
      if (!leadsThroughFolders(found)) {
        this.skipped.add(name, 'changed', 'a folder above it was replaced during the scan, so it is left out');
        return undefined;
      }
      const status = statusOf(path);
      const type = typeOf(status);
      if (type === 'file' || type === 'link') return { ...found, status };
      this.skipped.add(
        name,
        'changed',
        `it became a ${type === 'folder' ? 'folder' : 'socket, fifo or device'} during the scan, so it is left out`,
      );
    } catch (error) {
      if (isGone(error)) this.skipped.add(name, 'vanished', 'it vanished before it was read');
      else this.skipped.add(name, 'unreadable', reasonOf(error));
    }
    return undefined;
  }
}

type Reading = { readonly remote: boolean; readonly attempt: number; readonly tolerant: boolean };

type EntryFacts = {
  readonly reading: Reading;
  readonly fingerprint: Uint8Array | undefined;
  readonly skipped: SkippedList;
};

export class TreeEntry implements Entry {
  readonly name: Uint8Array;
  readonly fingerprint: Uint8Array | undefined;
  readonly estimatedBytes: number;
  readonly found: Found;
  readonly remote: boolean;
  readonly attempt: number;
  readonly tolerant: boolean;
  readonly #skipped: SkippedList;

  constructor(found: Found, { reading, fingerprint, skipped }: EntryFacts) {
    this.name = bytesOf(found.name);
    this.fingerprint = fingerprint;
    this.estimatedBytes = bytesToRead(found.status);
    this.found = found;
    this.remote = reading.remote;
    this.attempt = reading.attempt;
    this.tolerant = reading.tolerant;
    this.#skipped = skipped;
  }

  describe(): Description {
    return describe(this.found, this.tolerant, (cause) => this.#withoutXattrs(cause));
  }

  #withoutXattrs(cause: unknown): void {
    const message = `kept without its extended attributes, which can’t be read: ${reasonOf(cause)}`;
    this.#skipped.add(this.found.name, isGone(cause) ? 'vanished' : 'unreadable', message);
  }
}

/** False when a component between root and file is no folder any more: a link planted there would lead elsewhere. */
export function leadsThroughFolders({ name, path }: Found): boolean {
  const rootLength = path.length - name.length;
  for (let at = name.indexOf('\0'); at >= 0; at = name.indexOf('\0', at + 1)) {
    if (!lstatSync(systemPath(path.slice(0, rootLength + at))).isDirectory()) return false;
  }
  return true;
}
