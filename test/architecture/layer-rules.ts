import { builtinModules } from 'node:module';

import { isProduct } from './rule.ts';
import type { Breach } from './rule.ts';
import type { Import, Source } from './source.ts';

const BASE = ['core', 'flow', 'io'];
const REGISTRIES = ['connectors/registry', 'connectors/load', 'objects/registry'];

/** What each layer may import besides itself. `x/*` is any folder of x, of which none may import another. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  flow: ['core'],
  io: ['core', 'flow'],
  'objects/object-store': ['core'],
  'objects/object-key': ['core'],
  'objects/*': [...BASE, 'objects/object-store', 'objects/object-key'],
  'objects/registry': [...BASE, 'objects/object-store', 'objects/*'],
  'connectors/*': BASE,
  'connectors/registry': [...BASE, 'connectors/*'],
  'connectors/load': [...BASE, 'connectors/*'],
  repository: [...BASE, 'objects/object-store'],
  archive: [...BASE, 'repository'],
  restore: [...BASE, 'repository'],
  config: [...BASE, ...REGISTRIES],
  app: [
    ...BASE,
    ...REGISTRIES,
    'objects/object-store',
    'objects/wrappers',
    'repository',
    'archive',
    'restore',
    'config',
  ],
  agent: [...BASE, 'config', 'repository', 'app'],
  demo: [...BASE, 'connectors/*', 'config', 'app', 'agent'],
  cli: [...BASE, 'config', 'app', 'agent', 'demo'],
  testing: [...BASE, 'objects/object-store', 'objects/object-key', 'objects/*', 'repository', 'archive', 'restore'],
  index: [
    ...BASE,
    'objects/object-store',
    'objects/registry',
    'objects/*',
    'repository',
    'archive',
    'restore',
    'config',
    'app',
  ],
};

/** The only files that may import a package. */
const PACKAGES: Readonly<Record<string, RegExp>> = {
  commander: /^src\/cli\//,
  croner: /^src\/core\/cron-times\.ts$/,
  ignore: /^src\/connectors\/(?:files|postgres)\//,
  koffi: /^src\/io\/native[a-z-]*\.ts$/,
  pg: /^src\/connectors\/postgres\//,
  yaml: /^src\/config\//,
};

/** What core and flow may not touch: they have no input or output. */
const INPUT_OUTPUT =
  /^node:(?:fs|net|tls|dgram|dns|http|https|http2|child_process|worker_threads|cluster|readline)(?:\/|$)/;

function layerOf(path: string): string {
  const [first = '', second] = path.replace(/^src\//, '').split('/');
  if (second === undefined) return first.replace(/\.ts$/, '');
  return first === 'connectors' || first === 'objects' ? `${first}/${second.replace(/\.ts$/, '')}` : first;
}

function allowedFor(layer: string): readonly string[] | undefined {
  return LAYERS[layer] ?? (layer.includes('/') ? LAYERS[`${layer.split('/')[0]}/*`] : undefined);
}

function mayImport(layer: string, target: string): boolean {
  if (layer === target) return true;
  const allowed = allowedFor(layer) ?? [];
  const isFolder = target.includes('/') && LAYERS[target] === undefined;
  return allowed.includes(target) || (isFolder && allowed.includes(`${target.split('/')[0]}/*`));
}

function* eachImport(sources: readonly Source[]): Generator<readonly [Source, Import]> {
  for (const source of sources.filter(isProduct)) {
    for (const item of source.imports) yield [source, item];
  }
}

export function* layers(sources: readonly Source[]): Generator<Breach> {
  for (const source of sources.filter(isProduct)) {
    const from = layerOf(source.path);
    if (allowedFor(from) !== undefined) continue;
    yield { path: source.path, line: 1, subject: from, message: `${from} is no layer; see LAYERS in layer-rules.ts` };
  }
  for (const [{ path }, { target, line }] of eachImport(sources)) {
    const [from, to] = [layerOf(path), layerOf(target)];
    if (!target.startsWith('src/') || mayImport(from, to)) continue;
    yield { path, line, subject: target, message: `${from} may not import ${to} (${target})` };
  }
}

export function* packageOwners(sources: readonly Source[]): Generator<Breach> {
  for (const [{ path }, { target, specifier, kind, line }] of eachImport(sources)) {
    if (kind === 'url' || /^(?:\.|node:)/.test(specifier) || builtinModules.includes(target)) continue;
    if (kind === 'type' && REGISTRIES.includes(layerOf(path))) continue;
    const name = target
      .split('/')
      .slice(0, target.startsWith('@') ? 2 : 1)
      .join('/');
    const owner = PACKAGES[name];
    if (owner?.test(path)) continue;
    const message = owner ? `${name} is imported only in ${owner.source}` : `${name} has no owner in PACKAGES`;
    yield { path, line, subject: name, message };
  }
}

export function* pureLayers(sources: readonly Source[]): Generator<Breach> {
  for (const [{ path }, { target, kind, line }] of eachImport(sources)) {
    if (kind === 'type' || !/^src\/(?:core|flow)\//.test(path) || !INPUT_OUTPUT.test(target)) continue;
    yield { path, line, subject: target, message: `${layerOf(path)} has no input or output; ${target} belongs in io` };
  }
}

export function* productStandsAlone(sources: readonly Source[]): Generator<Breach> {
  for (const [{ path }, { target, line }] of eachImport(sources)) {
    if (!/^(?:test|bench|scripts)\/|\.test\.ts$|^fast-check$/.test(target)) continue;
    yield { path, line, subject: target, message: `the product may not import ${target}` };
  }
}

export function* noCycles(sources: readonly Source[]): Generator<Breach> {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const state = new Map<string, 'open' | 'done'>();
  const trail: string[] = [];
  const breaches: Breach[] = [];
  const enter = (source: Source): void => {
    state.set(source.path, 'open');
    trail.push(source.path);
    for (const { kind, target, line } of source.imports) {
      const next = byPath.get(target);
      if (kind !== 'static' || !next || state.get(target) === 'done') continue;
      if (state.get(target) === undefined) {
        enter(next);
        continue;
      }
      const circle = [...trail.slice(trail.indexOf(target)), target].join(' → ');
      breaches.push({ path: source.path, line, subject: target, message: `import cycle: ${circle}` });
    }
    trail.pop();
    state.set(source.path, 'done');
  };
  for (const source of sources) {
    if (!state.has(source.path)) enter(source);
  }
  yield* breaches;
}

export function* importsResolve(sources: readonly Source[]): Generator<Breach> {
  const paths = new Set(sources.map(({ path }) => path));
  for (const { path, imports } of sources) {
    for (const { kind, specifier, target, line } of imports) {
      if (!specifier.startsWith('.') || kind === 'url' || paths.has(target)) continue;
      yield { path, line, subject: specifier, message: `${specifier} is no file; relative imports end in .ts` };
    }
  }
}

/** tsc rewrites `import('./x.ts')` but not `new URL('./x.ts', import.meta.url)`, so that would be missing in the package. */
export function* urlsSurviveBuild(sources: readonly Source[]): Generator<Breach> {
  for (const [{ path }, { kind, specifier, line }] of eachImport(sources)) {
    if (kind !== 'url' || !specifier.endsWith('.ts')) continue;
    const message = `take the ending from extname(import.meta.filename): ${specifier} is not rewritten by the build`;
    yield { path, line, subject: specifier, message };
  }
}
