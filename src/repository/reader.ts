import { join } from 'node:path';
import { TidemarkError } from '../core/errors.ts';
import { fromHex } from '../core/bytes.ts';
import { BugError } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import { writerKeysOf } from './access.ts';
import type { RepositoryAccess } from './access.ts';
import { RepositoryBaseReader } from './base-reader.ts';
import type { Extractor } from './base-reader.ts';
import { BlockSource } from './block-source.ts';
import { loadCatalogue } from './catalogue.ts';
import type { BaseRecord, Catalogue } from './catalogue.ts';
import { damaged } from './format/byte-cursor.ts';
import { openChunkIndex } from './index/chunk-index.ts';
import { syncIndex } from './index/sync.ts';
import { readContent } from './records/bodies.ts';
import type { ManifestContent } from './records/bodies.ts';
import type { Head } from './records/heads.ts';
import { openTrusted } from './records/record-log.ts';

export type ReaderOptions = {
  readonly access: RepositoryAccess;
  readonly remembered: readonly Head[];
  /** Where indexes are kept from one run to the next. Undefined: read anew, and removed at the end. */
  readonly stateFolder: string | undefined;
  /** Where an index of chunks is kept: in the state folder unless given. */
  readonly openIndex?: typeof openChunkIndex | undefined;
  readonly extract: Extractor;
};

/** Looks into bases and restores them. Takes the reader's key. */
export class RepositoryReader implements AsyncDisposable {
  readonly catalogue: Catalogue;
  readonly #options: ReaderOptions;
  readonly #sources = new Map<string, Promise<BlockSource>>();
  readonly #stack = new AsyncDisposableStack();

  private constructor(options: ReaderOptions, catalogue: Catalogue) {
    this.#options = options;
    this.catalogue = catalogue;
  }

  /** @throws KEY_MISSING without the reader's key */
  static async open(options: ReaderOptions, run: Run): Promise<RepositoryReader> {
    if (options.access.keyring?.content === undefined) {
      throw new TidemarkError('KEY_MISSING', 'reading takes a passphrase with the role of a reader');
    }
    return new RepositoryReader(options, await loadCatalogue(options.access, options.remembered, run));
  }

  get access(): RepositoryAccess {
    return this.#options.access;
  }

  /** What only readers know of a base. @throws REPOSITORY_DAMAGED */
  content(base: BaseRecord): ManifestContent {
    return manifestContent(this.#options.access, base);
  }

  async base(base: BaseRecord, run: Run): Promise<RepositoryBaseReader> {
    const { root, level } = this.content(base);
    const { entries, bytes } = base.summary;
    const source = await this.source(base.credential, run);
    return new RepositoryBaseReader({ source, root: { root, level, entries, bytes }, extract: this.#options.extract });
  }

  /** Finds and opens the chunks of one writer. */
  source(credential: string, run: Run): Promise<BlockSource> {
    const known = this.#sources.get(credential);
    if (known !== undefined) return known;
    const opening = this.#openSource(credential, run);
    this.#sources.set(credential, opening);
    return opening;
  }

  async #openSource(credential: string, run: Run): Promise<BlockSource> {
    const { access, stateFolder } = this.#options;
    const certificate = this.catalogue.log.certificates.byId.get(credential);
    const keys = certificate && writerKeysOf(access, certificate);
    if (keys === undefined) throw damaged(`credentials/${credential}`, 'it is missing');
    const openIndex = this.#options.openIndex ?? openChunkIndex;
    await using resources = new AsyncDisposableStack();
    const index = resources.use(
      await openIndex(
        {
          folder: stateFolder === undefined ? undefined : join(stateFolder, 'index', credential),
          identity: `${access.header.id} ${credential}`,
          runtime: access.runtime,
        },
        run,
      ),
    );
    const repository = fromHex(access.header.id);
    const { findings } = await syncIndex(
      { index, objects: access.objects, repository, credential, idKey: keys.idKey },
      run,
    );
    for (const { message, severity } of findings) {
      access.runtime.logger.log(severity === 'error' ? 'error' : 'warn', message);
    }
    const source = resources.use(new BlockSource({ access, credential, keys, index, openIndex }));
    if (this.#stack.disposed) throw new BugError('a reader is used while it is being closed');
    this.#stack.use(resources.move());
    return source;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** What only readers know of a base. @throws REPOSITORY_DAMAGED */
export function manifestContent(access: RepositoryAccess, { key, trusted }: BaseRecord): ManifestContent {
  const fields = openTrusted(access, trusted, ['content']);
  if (fields === undefined) throw damaged(key, 'it has no content section');
  return readContent(fields);
}
