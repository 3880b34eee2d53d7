import { TidemarkError } from '../../core/errors.ts';

/** What is kept of a file or folder of a data directory beside its content. */
export type Attributes = {
  readonly type: 'file' | 'folder';
  /** Permission bits. */
  readonly mode: number;
  readonly sizeBytes: number;
  /** Seconds since 1970. */
  readonly mtimeS: number;
};

export function encodeAttributes({ type, mode, sizeBytes, mtimeS }: Attributes): Uint8Array {
  return Buffer.from(JSON.stringify([type === 'file' ? 'f' : 'd', mode, sizeBytes, mtimeS]));
}

/** @throws REPOSITORY_DAMAGED for bytes that `encodeAttributes` never makes */
export function decodeAttributes(bytes: Uint8Array): Attributes {
  const values = parse(bytes);
  const [type, mode, sizeBytes, mtimeS] = values;
  if ((type !== 'f' && type !== 'd') || !isCount(mode) || !isCount(sizeBytes) || !isCount(mtimeS)) {
    throw new TidemarkError('REPOSITORY_DAMAGED', 'the attributes of an entry of a PostgreSQL base are not readable');
  }
  return { type: type === 'f' ? 'file' : 'folder', mode, sizeBytes, mtimeS };
}

function parse(bytes: Uint8Array): readonly unknown[] {
  try {
    const values: unknown = JSON.parse(Buffer.from(bytes).toString());
    return Array.isArray(values) ? (values as readonly unknown[]) : []; // an array of anything is this
  } catch {
    return [];
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
