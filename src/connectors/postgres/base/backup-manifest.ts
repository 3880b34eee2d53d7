import { createHash } from 'node:crypto';
import { TidemarkError } from '../../../core/errors.ts';

export const MANIFEST_NAME = 'backup_manifest';

const LINE_END = 0x0a;
const FILE_LINE = /^\{ "(?:Path|Encoded-Path)": .*\},?$/;

/** What a file of a backup is: its size, and its CRC-32C in hexadecimal, as the manifest writes it. */
export type FileSum = { readonly sizeBytes: number; readonly crc: string };

/** A file as it goes into the base, where that is not how it came. `crc` is absent where nobody has read all of it. */
export type StoredFile = {
  readonly path: string;
  readonly sizeBytes: number;
  readonly crc?: string | undefined;
  /** It is what it was in the base before. */
  readonly isSame?: boolean | undefined;
};

export type ReceivedFile = FileSum & { readonly stored?: StoredFile | undefined };

/** Reads a server's backup manifest as it comes, holds what came of the files against it, and makes the manifest of the base. */
export class ManifestCheck {
  readonly #received: Map<string, ReceivedFile>;
  readonly #hash = createHash('sha256');
  readonly #storedHash = createHash('sha256');
  #rest: Buffer = Buffer.alloc(0);
  #fileCount = 0;
  #expectedHash: string | undefined;

  /** `received`: by path in the data directory. It is used up: of a server with millions of files it is large. */
  constructor(received: Map<string, ReceivedFile>) {
    this.#received = received;
  }

  /** Returns what goes into the base: the same, but for files that go into it as others. @throws STORE_UNREACHABLE when a file is not what the manifest says */
  update(bytes: Uint8Array): Buffer {
    const { lines, rest } = wholeLines(Buffer.concat([this.#rest, bytes]));
    this.#rest = rest;
    return Buffer.concat(lines.map((line) => this.#line(line)));
  }

  /** The manifest has come to its end. @throws STORE_UNREACHABLE when it is not whole, or does not know a file that came */
  finish(): void {
    if (this.#expectedHash !== this.#hash.digest('hex')) throw broken('its manifest is not whole');
    const [stranger] = this.#received.keys();
    if (stranger !== undefined) throw broken(`${stranger} is not in its manifest`);
  }

  get fileCount(): number {
    return this.#fileCount;
  }

  #line(line: Buffer): Buffer {
    const text = line.toString().trim();
    const sum = /^"Manifest-Checksum": "([0-9a-f]{64})"\}$/.exec(text);
    // The sum is over all that comes before its own line.
    if (sum !== null) {
      this.#expectedHash = sum[1];
      return Buffer.from(`"Manifest-Checksum": "${this.#storedHash.digest('hex')}"}\n`);
    }
    this.#hash.update(line);
    const stored = FILE_LINE.test(text) ? this.#file(text) : undefined;
    const kept = stored === undefined ? line : Buffer.from(stored);
    this.#storedHash.update(kept);
    return kept;
  }

  /** The line for the file as it goes into the base, where that is another one. */
  #file(line: string): string | undefined {
    const file = parseFile(line.replace(/,$/, ''));
    const { path, sizeBytes, algorithm, crc } = file;
    const received = this.#received.get(path);
    if (received === undefined) throw broken(`${path} is in its manifest, but did not come`);
    if (received.sizeBytes !== sizeBytes) {
      throw broken(`${path} has ${received.sizeBytes} bytes, and ${sizeBytes} in its manifest`);
    }
    if (algorithm !== 'CRC32C') throw broken(`${path} has no CRC-32C in its manifest`);
    if (received.crc !== crc) throw broken(`${path} is not the one in its manifest: its checksum differs`);
    this.#received.delete(path);
    this.#fileCount++;
    return received.stored && `${fileLine(received.stored, file.modified)}${line.endsWith(',') ? ',' : ''}\n`;
  }
}

export type ManifestFile = {
  readonly path: string;
  readonly sizeBytes: number;
  readonly modified: string;
  readonly algorithm: string;
  /** Empty where it has none. */
  readonly crc: string;
};

/** The files that a manifest which was stored tells of. */
export async function* manifestFiles(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<ManifestFile> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of pieces) {
    const found = wholeLines(Buffer.concat([rest, piece]));
    for (const line of found.lines) {
      const text = line.toString().trim();
      if (FILE_LINE.test(text)) yield parseFile(text.replace(/,$/, ''));
    }
    ({ rest } = found);
  }
}

function wholeLines(bytes: Buffer): { readonly lines: readonly Buffer[]; readonly rest: Buffer } {
  const lines: Buffer[] = [];
  let from = 0;
  for (let end = bytes.indexOf(LINE_END); end >= 0; end = bytes.indexOf(LINE_END, from)) {
    lines.push(bytes.subarray(from, end + 1));
    from = end + 1;
  }
  return { lines, rest: bytes.subarray(from) };
}

/** As the server writes it; names of files that go into a base as others are plain. */
function fileLine({ path, sizeBytes, crc }: StoredFile, modified: string): string {
  const sum = crc === undefined ? '' : `, "Checksum-Algorithm": "CRC32C", "Checksum": "${crc}"`;
  return `{ "Path": ${JSON.stringify(path)}, "Size": ${sizeBytes}, "Last-Modified": ${JSON.stringify(modified)}${sum} }`;
}

function parseFile(json: string): ManifestFile {
  const file = parseObject(json);
  const textOf = (name: string): string | undefined => {
    const value = file[name];
    return typeof value === 'string' ? value : undefined;
  };
  const encoded = textOf('Encoded-Path');
  return {
    path: encoded === undefined ? utf8AsBytes(textOf('Path') ?? '') : Buffer.from(encoded, 'hex').toString('latin1'),
    sizeBytes: Number(file['Size']),
    modified: textOf('Last-Modified') ?? '',
    algorithm: textOf('Checksum-Algorithm') ?? '',
    crc: textOf('Checksum') ?? '',
  };
}

/** Names are compared as their bytes, which latin1 keeps. */
function utf8AsBytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function parseObject(json: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === 'object' && value !== null) return { ...value };
  } catch {
    // Told below.
  }
  throw broken('its manifest is not readable');
}

function broken(reason: string): TidemarkError {
  return new TidemarkError('STORE_UNREACHABLE', `the server’s backup is not right: ${reason}`, {
    disposition: 'retry',
    hint: 'Take the base again; if this returns, check the server’s disk and the network to it.',
  });
}

/** As the manifest writes the number that a CRC ends with: the server's own order of bytes, which is little-endian wherever PostgreSQL is common. */
export function manifestCrc(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(crc);
  return bytes.toString('hex');
}
