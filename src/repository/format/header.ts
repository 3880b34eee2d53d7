import { TidemarkError } from '../../core/errors.ts';
import { damaged } from './byte-cursor.ts';
import { signParts, verifyParts } from './crypto.ts';
import type { KeyPair } from './crypto.ts';
import { encodeJson, JsonFields, toBase64 } from './json.ts';

/** The format that this code reads and writes. */
export const FORMAT_VERSION = 1;

const FORMAT = 'tidemark repository';
const CONTEXT = 'tidemark header\n';

export type ChunkLimits = {
  readonly minBytes: number;
  readonly averageBytes: number;
  readonly maxBytes: number;
  readonly pageBytes: number;
};

export const DEFAULT_CHUNKS: ChunkLimits = {
  minBytes: 256 * 1024,
  averageBytes: 1024 * 1024,
  maxBytes: 4 * 1024 * 1024,
  pageBytes: 64 * 1024,
};

/** What and whose a repository is. Proves nothing until compared with a key slot or credential. */
export type RepositoryHeader = {
  readonly id: string;
  readonly createdAtMs: number;
  readonly rootKey: Uint8Array;
  readonly contentKey: Uint8Array;
  readonly maintenanceKey: Uint8Array;
  readonly leaseMs: number;
  readonly chunks: ChunkLimits;
};

function headerFields(header: RepositoryHeader) {
  return {
    format: FORMAT,
    version: FORMAT_VERSION,
    id: header.id,
    createdAtMs: header.createdAtMs,
    rootKey: toBase64(header.rootKey),
    contentKey: toBase64(header.contentKey),
    maintenanceKey: toBase64(header.maintenanceKey),
    leaseMs: header.leaseMs,
    chunks: {
      minBytes: header.chunks.minBytes,
      averageBytes: header.chunks.averageBytes,
      maxBytes: header.chunks.maxBytes,
      pageBytes: header.chunks.pageBytes,
    },
  };
}

export function writeHeader(header: RepositoryHeader, root: KeyPair): Uint8Array {
  const fields = headerFields(header);
  const signature = toBase64(signParts(root, CONTEXT, [encodeJson(fields)]));
  return Buffer.from(`${JSON.stringify({ ...fields, signature }, null, 2)}\n`);
}

function readChunks(fields: JsonFields, what: string): ChunkLimits {
  const limit = 8 * 1024 * 1024;
  const chunks = {
    minBytes: fields.count('minBytes', limit),
    averageBytes: fields.count('averageBytes', limit),
    maxBytes: fields.count('maxBytes', limit),
    pageBytes: fields.count('pageBytes', limit),
  };
  const ascending =
    64 <= chunks.minBytes && chunks.minBytes <= chunks.averageBytes && chunks.averageBytes <= chunks.maxBytes;
  if (!ascending || chunks.pageBytes < 512) throw damaged(what, 'its sizes of chunks make no sense');
  return chunks;
}

/**
 * Reads a header and checks its own signature; whether its root key is the right one is the caller's to say.
 * @throws REPOSITORY_NEWER, REPOSITORY_OLDER, REPOSITORY_DAMAGED
 */
export function readHeader(bytes: Uint8Array, what: string): RepositoryHeader {
  const fields = JsonFields.parse(bytes, what);
  if (fields.text('format') !== FORMAT) throw damaged(what, 'it is not a header of a Tidemark repository');
  const version = fields.count('version');
  if (version > FORMAT_VERSION) {
    throw new TidemarkError(
      'REPOSITORY_NEWER',
      `${what} is of format version ${version}; this Tidemark knows ${FORMAT_VERSION}`,
    );
  }
  if (version < FORMAT_VERSION) {
    throw new TidemarkError('REPOSITORY_OLDER', `${what} is of format version ${version}, which came before the first`);
  }
  const header: RepositoryHeader = {
    id: fields.hex('id', 16),
    createdAtMs: fields.number('createdAtMs'),
    rootKey: fields.base64('rootKey', 32),
    contentKey: fields.base64('contentKey', 32),
    maintenanceKey: fields.base64('maintenanceKey', 32),
    leaseMs: fields.count('leaseMs'),
    chunks: readChunks(fields.object('chunks'), what),
  };
  const signed = encodeJson(headerFields(header));
  if (!verifyParts(header.rootKey, CONTEXT, [signed], fields.base64('signature', 64))) {
    throw damaged(what, 'its signature does not fit');
  }
  return header;
}
