import { must } from '../../../core/must.ts';
import type { Run } from '../../../core/run.ts';
import { unreachable } from '../errors.ts';
import { parseLsn } from '../lsn.ts';
import type { WalPlace } from '../lsn.ts';
import { MessageType, readRow } from '../replication-socket.ts';
import type { Message, OnNotice, ReplicationSocket } from '../replication-socket.ts';

/** From this version on all archives come in one stream, each message saying what it is. */
const FRAMED_SINCE = 150_000;

/** A message of the manifest that is sent to the server. */
const UPLOAD_BYTES = 64 * 1024;

/** What `BASE_BACKUP` sends: archives, then the manifest. `tablespace`: its OID; undefined for the data directory itself. */
export type BackupPart =
  | { readonly kind: 'archive'; readonly tablespace?: string | undefined }
  | { readonly kind: 'manifest' };

type Happening = { readonly part: BackupPart } | { readonly data: Buffer } | 'ended';

const PART_KIND = { archive: 0x6e, manifest: 0x6d, data: 0x64, progress: 0x70 } as const; // n m d p

/** The answer to `BASE_BACKUP`, pulled in order: `begin`, then each part with its data, then `stop`. */
export class BackupStream {
  readonly #socket: ReplicationSocket;
  readonly #isFramed: boolean;
  readonly #onWarning: OnNotice;
  /** The tablespaces whose archives are still to come, where the stream does not say which is which. */
  #coming: (string | undefined)[] = [];
  #next: Happening | undefined;
  #stop: WalPlace | undefined;

  constructor(socket: ReplicationSocket, versionNumber: number, onWarning: OnNotice) {
    this.#socket = socket;
    this.#isFramed = versionNumber >= FRAMED_SINCE;
    this.#onWarning = onWarning;
  }

  /** Tells the server of an earlier backup, by its manifest: what has not changed since need not come. Before `begin`. */
  async upload(manifest: AsyncIterable<Uint8Array>, run: Run): Promise<void> {
    this.#socket.command('UPLOAD_MANIFEST');
    const { type } = await this.#message(run);
    if (type !== MessageType.copyIn) throw unexpected(type);
    for await (const piece of manifest) {
      for (let at = 0; at < piece.byteLength; at += UPLOAD_BYTES) {
        this.#socket.copyData(piece.subarray(at, at + UPLOAD_BYTES));
        await this.#socket.drained(run);
      }
    }
    this.#socket.copyDone();
    while ((await this.#message(run)).type !== MessageType.readyForQuery);
  }

  /**
   * Where the log has to be followed from. That it is archived is not waited for: it comes with the files, with `withLog`, or is recorded beside.
   * `isIncremental`: over the backup that was told.
   */
  async begin(
    { withLog, isIncremental }: { readonly withLog: boolean; readonly isIncremental: boolean },
    run: Run,
  ): Promise<WalPlace> {
    const incremental = isIncremental ? ', INCREMENTAL' : '';
    this.#socket.command(
      this.#isFramed
        ? `BASE_BACKUP (LABEL 'tidemark', CHECKPOINT 'fast', WAL ${withLog}, WAIT false, TABLESPACE_MAP true, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C'${incremental})`
        : `BASE_BACKUP LABEL 'tidemark' FAST ${withLog ? 'WAL ' : ''}NOWAIT TABLESPACE_MAP MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'`,
    );
    const [first] = await this.#rows(run);
    const tablespaces = await this.#rows(run);
    this.#coming = tablespaces.map(([oid]) => oid ?? undefined);
    return walPlace(first);
  }

  /** The next part, after what was left of the one before. Undefined when all have come. */
  async nextPart(run: Run): Promise<BackupPart | undefined> {
    for (;;) {
      const next = await this.#peek(run);
      if (next === 'ended') return undefined;
      this.#next = undefined;
      if ('part' in next) return next.part;
    }
  }

  /** The next bytes of the present part; undefined at its end. */
  async data(run: Run): Promise<Buffer | undefined> {
    const next = await this.#peek(run);
    if (next === 'ended' || 'part' in next) return undefined;
    this.#next = undefined;
    return next.data;
  }

  /** Up to where the log is needed. After all parts. */
  get stop(): WalPlace {
    return must(this.#stop, 'a backup that has ended');
  }

  async #peek(run: Run): Promise<Happening> {
    while (this.#next === undefined) this.#next = await this.#look(await this.#message(run), run);
    return this.#next;
  }

  async #look({ type, body, isContinued }: Message, run: Run): Promise<Happening | undefined> {
    if (type === MessageType.copyData) {
      return this.#isFramed && isContinued !== true ? framed(body) : { data: body };
    }
    if (type === MessageType.copyOut) return this.#isFramed ? undefined : { part: this.#unframedPart() };
    if (type === MessageType.copyDone) return undefined;
    if (type !== MessageType.rowDescription) throw unexpected(type);
    const { body: row } = await this.#message(run);
    this.#stop = walPlace(readRow(row));
    // What fails only now has to be known before the backup counts.
    while ((await this.#message(run)).type !== MessageType.readyForQuery);
    return 'ended';
  }

  #unframedPart(): BackupPart {
    if (this.#coming.length === 0) return { kind: 'manifest' };
    return { kind: 'archive', tablespace: this.#coming.shift() };
  }

  async #rows(run: Run): Promise<readonly (readonly (string | null)[])[]> {
    const rows: (readonly (string | null)[])[] = [];
    for (;;) {
      const { type, body } = await this.#message(run);
      if (type === MessageType.dataRow) rows.push(readRow(body));
      else if (type === MessageType.commandComplete) return rows;
      else if (type !== MessageType.rowDescription) throw unexpected(type);
    }
  }

  async #message(run: Run): Promise<Message> {
    return await this.#socket.nextPiece(run, this.#onWarning);
  }
}

function framed(body: Buffer): Happening | undefined {
  switch (body[0]) {
    case PART_KIND.data:
      return { data: body.subarray(1) };
    case PART_KIND.archive: {
      const [archive = ''] = body.toString('utf8', 1).split('\0');
      return { part: { kind: 'archive', tablespace: /^([0-9]+)\.tar$/.exec(archive)?.[1] } };
    }
    case PART_KIND.manifest:
      return { part: { kind: 'manifest' } };
    case PART_KIND.progress:
      return undefined;
    default:
      throw unexpected(body[0] ?? 0);
  }
}

function walPlace(row: readonly (string | null)[] | undefined): WalPlace {
  const [written, timeline] = row ?? [];
  const lsn = parseLsn(written ?? '');
  if (lsn === undefined) throw unreachable('the server does not say where in its log the backup is');
  return { lsn, timeline: Number(timeline) };
}

function unexpected(type: number): Error {
  return unreachable(`the server sent ${JSON.stringify(String.fromCharCode(type))} in the middle of a backup`);
}
