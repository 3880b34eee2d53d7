import { basename, dirname } from 'node:path/posix';

import { isEntry, isProduct, isTest } from './rule.ts';
import type { Breach } from './rule.ts';
import type { Source } from './source.ts';

const BARRELS = new Set(['src/index.ts', 'src/testing/index.ts']);
const EMPTY_WORD = /^(?:.*-)?(?:util|utils|helper|helpers|common|misc|shared|stuff|lib)$/;
const KEBAB = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.test|\.memory\.test)?\.ts$/;

/** The file that a role has in every folder of its kind. An export with such a name is found in no other file. */
const ROLES = [
  { folder: /^src\/connectors\/[^/]+$/, file: 'connector.ts', required: true, exported: /^[a-z]\w*Connector$/ },
  { folder: /^src\/connectors\/[^/]+$/, file: 'options.ts', required: true, exported: /^[a-z]\w*Options$/ },
  { folder: /^src\/connectors\/[^/]+$/, file: 'recorder.ts', required: false, exported: /^open\w*Recorder$/ },
  { folder: /^src\/connectors\/[^/]+$/, file: 'restorer.ts', required: false, exported: /^open\w*Restorer$/ },
  { folder: /^src\/connectors\/[^/]+$/, file: 'source.ts', required: false, exported: /^open\w*Source$/ },
  { folder: /^src\/connectors\/[^/]+$/, file: 'sink.ts', required: false, exported: /^open\w*Sink$/ },
  { folder: /^src\/objects\/(?!wrappers$)[^/]+$/, file: 'object-store.ts', required: true, exported: /^open\w*Store$/ },
] as const;

export function* noBarrels(sources: readonly Source[]): Generator<Breach> {
  for (const { path, onlyReExports } of sources) {
    if (!onlyReExports || BARRELS.has(path)) continue;
    yield { path, line: 1, subject: path, message: 'only hands on what others export; import from them directly' };
  }
}

export function* fileNames(sources: readonly Source[]): Generator<Breach> {
  for (const { path } of sources) {
    const name = basename(path);
    const stem = name.replace(/\..*$/, '');
    if (EMPTY_WORD.test(stem)) {
      yield { path, line: 1, subject: path, message: `${stem} says nothing; name the concept` };
    }
    if (!KEBAB.test(name)) yield { path, line: 1, subject: path, message: `${name}: file names are in kebab-case` };
  }
}

/** Whatever no entry leads to is dead. What tests alone use lies in src/testing. */
export function* allReachable(sources: readonly Source[]): Generator<Breach> {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const reached = new Set<string>();
  const enter = (path: string): void => {
    const source = byPath.get(path);
    if (!source || reached.has(path)) return;
    reached.add(path);
    for (const { target, kind } of source.imports) enter(kind === 'url' ? `${target.replace(/\.ts$/, '')}.ts` : target);
  };
  for (const path of [...BARRELS, 'src/cli/main.ts']) enter(path);
  for (const { path } of sources) {
    if (/^src\/connectors\/[^/]+\/connector\.ts$/.test(path)) enter(path);
  }
  const product = new Set(reached);
  for (const { path, imports } of sources) {
    if (!path.startsWith('src/') || isTest(path)) for (const { target } of imports) enter(target);
  }
  for (const { path } of sources.filter(isProduct)) {
    if (product.has(path) || (path.startsWith('src/testing/') && reached.has(path))) continue;
    yield {
      path,
      line: 1,
      subject: path,
      message: 'nothing leads here from an entry (index, testing, cli/main, a connector)',
    };
  }
}

export function* sameRoleNames(sources: readonly Source[]): Generator<Breach> {
  const paths = new Set(sources.map(({ path }) => path));
  const product = sources.filter(isProduct);
  const folders = new Set(product.map(({ path }) => dirname(path)));
  for (const { folder, file, required, exported } of ROLES) {
    for (const name of folders) {
      if (!required || !folder.test(name) || paths.has(`${name}/${file}`)) continue;
      yield { path: name, line: 1, subject: file, message: `${file} is missing, which every such folder has` };
    }
    for (const { path, exportedNames } of product) {
      if (!folder.test(dirname(path)) || basename(path) === file) continue;
      for (const { what, line } of exportedNames) {
        if (exported.test(what)) yield { path, line, subject: what, message: `${what} belongs in ${file}` };
      }
    }
  }
}

/** A thread or process of its own is named for it, since only such files may touch the process. */
export function* workersAreNamed(sources: readonly Source[]): Generator<Breach> {
  for (const { path, imports } of sources.filter(isProduct)) {
    for (const { kind, target, line } of imports) {
      const file = `${target.replace(/\.ts$/, '')}.ts`;
      if (kind !== 'url' || !sources.some((source) => source.path === file) || isEntry(file)) continue;
      yield { path, line, subject: target, message: `${file} is started as a thread: its name ends in worker.ts` };
    }
  }
}
