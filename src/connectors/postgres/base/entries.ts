import { readerOf } from '../../../core/byte-reader.ts';
import { assume } from '../../../core/must.ts';
import type { ByteReader, Content, Entry, Patch } from '../../../core/recorder.ts';
import type { Run } from '../../../core/run.ts';
import { encodeAttributes } from '../attributes.ts';
import type { TarEntry } from './tar-reader.ts';

/** Of what the server does not send with its mode. */
const OWN_MODE = 0o600;

/** Forks of relations: what is changed in them are pages. */
const RELATION_FILE =
  /^(?:base\/[0-9]+|global|pg_tblspc\/[0-9]+\/[^/]+\/[0-9]+)\/(?:t[0-9]+_)?[0-9]+(?:_(?:fsm|vm|init))?(?:\.[0-9]+)?$/;

export type ExtraFile = { readonly name: string; readonly bytes: Uint8Array };

/** Whether a file of a data directory is made of pages. */
export function isRelationFile(path: string): boolean {
  return RELATION_FILE.test(path);
}

/** A file that is at hand. `like`: what came, of which the bytes are made. */
export function extraEntry({ name, bytes }: ExtraFile, like?: TarEntry): Entry {
  const { byteLength: sizeBytes } = bytes;
  const { mode = OWN_MODE, mtimeS = 0 } = like ?? {};
  return {
    name: Buffer.from(name),
    estimatedBytes: sizeBytes,
    describe: () => ({
      attributes: encodeAttributes({ type: 'file', mode, sizeBytes, mtimeS }),
      content: { kind: 'reader', cut: 'stream', open: async () => readerOf(bytes) },
    }),
  };
}

/** A file or folder that comes. */
export function arrivingEntry(path: string, { type, mode, sizeBytes, mtimeS }: TarEntry, file: ReadOnce): Entry {
  assume(type !== 'link', 'a file or a folder');
  const hasContent = type === 'file' && sizeBytes > 0;
  return {
    name: Buffer.from(path, 'latin1'),
    estimatedBytes: hasContent ? sizeBytes : 0,
    describe: () => ({
      attributes: encodeAttributes({ type, mode, sizeBytes: type === 'file' ? sizeBytes : 0, mtimeS }),
      ...(hasContent && { content: file.as(isRelationFile(path) ? 'pages' : 'stream') }),
    }),
  };
}

/** A file of which only what has changed comes. */
export function patchedEntry(
  path: string,
  { mode, mtimeS }: TarEntry,
  patch: Omit<Patch, 'open'> & { readonly file: ReadOnce },
): Entry {
  const { file, ...of } = patch;
  const { sizeBytes } = of;
  return {
    name: Buffer.from(path, 'latin1'),
    estimatedBytes: sizeBytes,
    describe: () => ({
      attributes: encodeAttributes({ type: 'file', mode, sizeBytes, mtimeS }),
      patch: { ...of, open: async (run) => await file.open(run) },
    }),
  };
}

/** The server's list of what it has sent; how long it is nobody knows before. */
export function manifestEntry(name: string, file: ReadOnce): Entry {
  return {
    name: Buffer.from(name),
    estimatedBytes: 0,
    describe: () => ({
      attributes: encodeAttributes({ type: 'file', mode: OWN_MODE, sizeBytes: 0, mtimeS: 0 }),
      content: file.as('stream'),
    }),
  };
}

/** Bytes on a stream that passes once. */
export class ReadOnce {
  readonly #open: () => ByteReader;
  readonly #onOpen: (run: Run) => void;
  #isOpened = false;

  constructor(open: () => ByteReader, onOpen: (run: Run) => void) {
    this.#open = open;
    this.#onOpen = onOpen;
  }

  as(cut: Content['cut']): Content {
    return { cut, kind: 'reader', open: async (run) => await this.open(run) };
  }

  async open(run: Run): Promise<ByteReader> {
    assume(!this.#isOpened, 'a content that passes once');
    this.#isOpened = true;
    this.#onOpen(run);
    return this.#open();
  }
}
