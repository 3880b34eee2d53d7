import { must } from '../core/must.ts';
import { check, secretKeys } from '../core/option-schema.ts';
import type { KeyPath, Options, OptionType } from '../core/option-schema.ts';
import { secretReference } from '../core/secret-reference.ts';
import type { Configuration, RepositoryConfiguration, StoreConfiguration } from './configuration.ts';
import { crossMistakes, keysOr } from './cross-checks.ts';
import { locatePath, locateRepository, locateStore } from './locations.ts';
import type { Checked } from './locations.ts';
import type { ManifestOrigin } from './manifest-file.ts';
import { readManifestTree } from './manifest-yaml.ts';
import type { ManifestTree } from './manifest-yaml.ts';
import { keyText, ManifestError } from './mistakes.ts';
import type { Mistake } from './mistakes.ts';
import { manifestOptions, storeOptions } from './schema.ts';
import type { CommonStore, Manifest, Repository } from './schema.ts';

/** A store that was read so far: what is missing in it has left a mistake. */
type ReadStore = {
  readonly name: string;
  readonly common: CommonStore;
  readonly options: Readonly<Record<string, unknown>>;
  readonly written: Readonly<Record<string, unknown>>;
};

/**
 * The configuration that a manifest's text stands for. Nothing is looked at but the text: no file, store or secret is opened.
 * `isStored`: it comes from a base, so that what became a mistake since then is none.
 * @throws CONFIG_INVALID, a ManifestError with every mistake
 */
export async function parseManifest(
  text: string,
  origin: ManifestOrigin,
  { isStored = false }: { readonly isStored?: boolean } = {},
): Promise<Configuration> {
  return new ManifestParser(readManifestTree(text, origin.file), origin).parse({ isStored });
}

class ManifestParser {
  readonly #origin: ManifestOrigin;
  readonly #tree: ManifestTree;
  readonly #mistakes: Mistake[];
  /** Paths whose value was put into `url` of a long form. */
  readonly #short = new Set<string>();

  constructor(tree: ManifestTree, origin: ManifestOrigin) {
    this.#tree = tree;
    this.#origin = origin;
    this.#mistakes = [...tree.mistakes];
  }

  async parse({ isStored }: { readonly isStored: boolean }): Promise<Configuration> {
    const written = this.#longForms(this.#tree.value);
    const manifest = this.#check(manifestOptions, written, []);
    const stores: ReadStore[] = [];
    for (const [name, store] of Object.entries(keysOr(keysOr(written)['stores']))) {
      const read = await this.#readStore(name, store);
      if (read !== undefined) stores.push(read);
    }
    const locate = (url: string) => (isStored ? undefined : this.#placeOf(url));
    for (const { path, message } of crossMistakes(keysOr(written), locate)) this.#mistake(path, message);
    const { url, passphraseFile } = keysOr(keysOr(written)['repository']);
    const repository = {
      url: this.#located(url, ['repository', 'url'], locateRepository),
      passphraseFile: this.#located(passphraseFile, ['repository', 'passphraseFile'], locatePath),
    };
    if (this.#mistakes.length > 0) throw new ManifestError(this.#mistakes);
    const checked = must(manifest, 'a manifest without mistakes was read');
    return deepFreeze({
      application: checked.application,
      origin: { ...this.#origin },
      repository: repositoryOf(checked.repository, {
        url: must(repository.url, 'a repository without mistakes has a place'),
        passphraseFile: repository.passphraseFile,
      }),
      stores: stores.map((store) => this.#store(store, checked.bases)),
      bases: checked.bases,
      timezone: checked.timezone,
      marks: { everyMs: checked.marks.every },
      flush: { afterMs: checked.flush.after, sizeBytes: checked.flush.size },
      retention: retentionOf(checked),
    });
  }

  /** A store or the repository may be given by its URL alone. */
  #longForms(value: unknown): unknown {
    if (value === null) return {};
    const manifest = keysOr(value);
    if (manifest !== value) return value;
    const stores = keysOr(manifest['stores']);
    return {
      ...manifest,
      ...('repository' in manifest && { repository: this.#longForm(manifest['repository'], ['repository']) }),
      ...(stores === manifest['stores'] && {
        stores: Object.fromEntries(
          Object.entries(stores).map(([name, store]) => [name, this.#longForm(store, ['stores', name])]),
        ),
      }),
    };
  }

  #longForm(value: unknown, path: KeyPath): unknown {
    if (typeof value !== 'string') return value;
    this.#short.add(keyText(path));
    return { url: value };
  }

  #check<Value>(type: OptionType<Value>, written: unknown, prefix: KeyPath): Value | undefined {
    const { value, mistakes } = check(type, written, prefix);
    for (const { path, at, message } of mistakes) {
      const place = at === 'key' ? this.#tree.places.key(path) : this.#tree.places.value(path);
      this.#add({ file: this.#origin.file, place, key: this.#shownKey(path), message });
    }
    return value;
  }

  async #readStore(name: string, value: unknown): Promise<ReadStore | undefined> {
    const path = ['stores', name];
    if (keysOr(value) !== value) {
      this.#mistake(path, 'expected a kind and a place such as files:./data, or keys below');
      return undefined;
    }
    const { url } = keysOr(value);
    const place = typeof url === 'string' ? locateStore(url, this.#origin.folder) : undefined;
    if (place !== undefined && 'mistake' in place) this.#mistake([...path, 'url'], place.mistake);
    const located = place !== undefined && 'value' in place ? place.value : undefined;
    const kind = located?.kind;
    const wrong = located && (await located.kind.targetMistake?.(located.scheme, located.target));
    if (wrong !== undefined) this.#mistake([...path, 'url'], wrong);
    const own = await kind?.loadKeys();
    const common = this.#check(storeOptions(own), value, path);
    if (common === undefined || own === undefined) return undefined;
    const secret = secretKeys(own);
    const paths = this.#locatedPaths(own, value, path);
    const options = Object.fromEntries(Object.keys(own).map((key) => [key, paths[key] ?? keysOr(common)[key]]));
    const written = Object.entries({ ...keysOr(value), ...paths }).filter(([key]) => !secret.includes(key));
    return { name, common, options, written: Object.fromEntries(written) };
  }

  /** The connector's options that are paths, absolute. */
  #locatedPaths(own: Options, value: unknown, path: KeyPath): Readonly<Record<string, string>> {
    const written = keysOr(value);
    const located: Record<string, string> = {};
    for (const [key, { type }] of Object.entries(own)) {
      const absolute = type.isPath === true ? this.#located(written[key], [...path, key], locatePath) : undefined;
      if (absolute !== undefined) located[key] = absolute;
    }
    return located;
  }

  #store({ name, common, options, written }: ReadStore, bases: string): StoreConfiguration {
    const located = locateStore(common.url, this.#origin.folder);
    const { kind, scheme, target } = must(
      'value' in located ? located.value : undefined,
      'a store without mistakes has a place',
    );
    return {
      name,
      kind: kind.name,
      scheme,
      target,
      url: `${scheme}:${target}`,
      class: common.class,
      references: common.references,
      bases: common.bases ?? bases,
      seal: common.seal && { pause: common.seal.pause, resume: common.seal.resume, withinMs: common.seal.within },
      allowEmpty: common.allowEmpty,
      via: common.via ?? [],
      dataSets: Object.entries(common.dataSets).map(
        ([part, { prefix, class: kindOfPart, from, rebuild, restore }]) => ({
          name: part,
          prefix,
          class: kindOfPart,
          from,
          rebuild,
          restore,
        }),
      ),
      options,
      written,
    };
  }

  /** What is the same for two stores of one place; undefined for what is no place. */
  #placeOf(url: string): string | undefined {
    const located = locateStore(url, this.#origin.folder);
    return 'value' in located ? `${located.value.kind.name}:${located.value.target}` : undefined;
  }

  /** The absolute path that a value of the manifest stands for; a mistake and undefined when it can't be one. */
  #located(
    value: unknown,
    path: KeyPath,
    locate: (text: string, folder: string) => Checked<string>,
  ): string | undefined {
    if (typeof value !== 'string') return undefined;
    const located = locate(value, this.#origin.folder);
    if ('value' in located) return located.value;
    this.#mistake(path, located.mistake);
    return undefined;
  }

  #mistake(path: KeyPath, message: string): void {
    this.#add({ file: this.#origin.file, place: this.#tree.places.value(path), key: this.#shownKey(path), message });
  }

  /** A value that was refused while the text was read has its mistake already. */
  #add(mistake: Mistake): void {
    if (mistake.key === undefined || !this.#tree.unread.has(mistake.key)) this.#mistakes.push(mistake);
  }

  #shownKey(path: KeyPath): string {
    const owner = keyText(path.slice(0, -1));
    return path.at(-1) === 'url' && this.#short.has(owner) ? owner : keyText(path);
  }
}

function repositoryOf(
  { passphraseEnv: env, passphraseCommand: command, limits }: Repository,
  located: { readonly url: string; readonly passphraseFile: string | undefined },
): RepositoryConfiguration {
  return {
    url: located.url,
    passphrase: secretReference({ file: located.passphraseFile, env, command }),
    limits: { uploadBytesPerSecond: limits.upload, downloadBytesPerSecond: limits.download },
  };
}

function retentionOf({ retention }: Manifest): Configuration['retention'] {
  const { window, ...counts } = retention;
  return { windowMs: window, ...counts };
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
