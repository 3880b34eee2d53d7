import { createHash } from 'node:crypto';
import { TidemarkError } from '../../../core/errors.ts';

const LINE_END = 0x0a;
const FILE_LINE = /^\{ "(?:Path|Encoded-Path)": .*\},?$/;

/** What a file of a backup is: its size, and its CRC-32C in hexadecimal, as the manifest writes it. */
export type FileSum = { readonly sizeBytes: number; readonly crc: string };

/** Reads a server's backup manifest as it comes, and holds what came of the files against it. */
export class ManifestCheck {
  readonly #received: Map<string, FileSum>;
  readonly #hash = createHash('sha256');
  #rest: Buffer = Buffer.alloc(0);
  #fileCount = 0;
  #expectedHash: string | undefined;

  /** `received`: by path in the data directory. It is used up: of a server with millions of files it is large. */
  constructor(received: Map<string, FileSum>) {
    this.#received = received;
  }

  /** @throws STORE_UNREACHABLE when a file is not what the manifest says */
  update(bytes: Uint8Array): void {
    let rest = Buffer.concat([this.#rest, bytes]);
    for (let end = rest.indexOf(LINE_END); end >= 0; end = rest.indexOf(LINE_END)) {
      this.#line(rest.subarray(0, end + 1));
      rest = rest.subarray(end + 1);
    }
    this.#rest = rest;
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

  #line(line: Buffer): void {
    const text = line.toString().trim();
    const sum = /^"Manifest-Checksum": "([0-9a-f]{64})"\}$/.exec(text);
    // The sum is over all that comes before its own line.
    if (sum !== null) this.#expectedHash = sum[1];
    else this.#hash.update(line);
    if (FILE_LINE.test(text)) this.#file(text.replace(/,$/, ''));
  }

  #file(json: string): void {
    const { path, sizeBytes, algorithm, crc } = parseFile(json);
    const received = this.#received.get(path);
    if (received === undefined) throw broken(`${path} is in its manifest, but did not come`);
    if (received.sizeBytes !== sizeBytes) {
      throw broken(`${path} has ${received.sizeBytes} bytes, and ${sizeBytes} in its manifest`);
    }
    if (algorithm !== 'CRC32C') throw broken(`${path} has no CRC-32C in its manifest`);
    if (received.crc !== crc) throw broken(`${path} is not the one in its manifest: its checksum differs`);
    this.#received.delete(path);
    this.#fileCount++;
  }
}

type ManifestFile = {
  readonly path: string;
  readonly sizeBytes: number;
  readonly algorithm: string;
  readonly crc: string;
};

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
export function manifestCrc(bigEndianHex: string): string {
  return Buffer.from(bigEndianHex, 'hex').reverse().toString('hex');
}
