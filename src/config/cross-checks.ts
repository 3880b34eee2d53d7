import { nearest } from '../core/nearest.ts';
import type { KeyPath } from '../core/option-schema.ts';

/** A mistake between values that are each right on their own; `path` is where the operator would mend it. */
export type CrossMistake = { readonly path: KeyPath; readonly message: string };

type Keys = Readonly<Record<string, unknown>>;

/**
 * Looks at the tree as it was written, so that it works beside other mistakes: whatever has not the expected shape is passed over.
 * References must name stores and may not go round; of several sources of one secret only one may be given; no two stores are at one place.
 * `placeOf` tells places apart.
 */
export function crossMistakes(manifest: Keys, placeOf: (url: string) => string | undefined): readonly CrossMistake[] {
  const stores = keysOr(manifest['stores']);
  return [
    ...secretMistakes(keysOr(manifest['repository']), ['repository'], 'passphrase'),
    ...Object.entries(stores).flatMap(([name, store]) => secretMistakes(keysOr(store), ['stores', name], 'password')),
    ...referenceMistakes(stores),
    ...cycleMistakes(stores),
    ...dataSetMistakes(stores),
    ...placeMistakes(stores, placeOf),
  ];
}

function secretMistakes(keys: Keys, path: KeyPath, secret: string): readonly CrossMistake[] {
  const given = ['File', 'Env', 'Command']
    .map((ending) => `${secret}${ending}`)
    .filter((key) => keys[key] !== undefined);
  const [first, ...others] = given;
  return others.map((key) => ({ path: [...path, key], message: `${first} is given too; keep one of them` }));
}

function referenceMistakes(stores: Keys): readonly CrossMistake[] {
  const mistakes: CrossMistake[] = [];
  for (const [name, store] of Object.entries(stores)) {
    const references = referencesOf(store);
    for (const [index, reference] of references.entries()) {
      const path = ['stores', name, 'references', index];
      const unknown = unknownStore(reference, stores);
      if (unknown !== undefined) mistakes.push({ path, message: unknown });
      else if (references.indexOf(reference) < index) mistakes.push({ path, message: `${reference} is named twice` });
    }
  }
  return mistakes;
}

/** One inside another is allowed: what it takes twice may be wanted. */
function placeMistakes(stores: Keys, placeOf: (url: string) => string | undefined): readonly CrossMistake[] {
  const mistakes: CrossMistake[] = [];
  const first = new Map<string, string>();
  for (const [name, store] of Object.entries(stores)) {
    const { url } = keysOr(store);
    const place = typeof url === 'string' ? placeOf(url) : undefined;
    if (place === undefined) continue;
    const other = first.get(place);
    if (other === undefined) first.set(place, name);
    else mistakes.push({ path: ['stores', name, 'url'], message: `${other} is at this place already` });
  }
  return mistakes;
}

function dataSetMistakes(stores: Keys): readonly CrossMistake[] {
  const mistakes: CrossMistake[] = [];
  for (const [name, store] of Object.entries(stores)) {
    for (const [part, dataSet] of Object.entries(keysOr(keysOr(store)['dataSets']))) {
      const { class: kind, from, rebuild, restore } = keysOr(dataSet);
      const path = ['stores', name, 'dataSets', part];
      const unknown = typeof from === 'string' ? unknownStore(from, stores) : undefined;
      if (unknown !== undefined) mistakes.push({ path: [...path, 'from'], message: unknown });
      if (from !== undefined && kind !== 'derived') {
        mistakes.push({ path: [...path, 'from'], message: 'only of a part with class: derived' });
      }
      if (rebuild !== undefined && kind !== 'derived') {
        mistakes.push({ path: [...path, 'rebuild'], message: 'only of a part with class: derived' });
      }
      if (restore !== undefined && kind !== 'ephemeral') {
        mistakes.push({ path: [...path, 'restore'], message: 'only of a part with class: ephemeral' });
      }
    }
  }
  return mistakes;
}

/** One mistake for each round of references, at the first store of it in the manifest's order. */
function cycleMistakes(stores: Keys): readonly CrossMistake[] {
  const mistakes: CrossMistake[] = [];
  const finished = new Set<string>();
  for (const start of Object.keys(stores)) {
    const trail: { readonly name: string; readonly left: string[] }[] = [];
    const enter = (name: string): void => {
      const round = trail.findIndex((step) => step.name === name);
      if (round >= 0) {
        const names = [...trail.slice(round).map((step) => step.name), name];
        mistakes.push({
          path: ['stores', trail[round]?.name ?? name, 'references'],
          message: `references go round: ${names.join(' → ')}`,
        });
      } else if (!finished.has(name) && Object.hasOwn(stores, name)) {
        trail.push({ name, left: [...new Set(referencesOf(stores[name]))].reverse() });
      }
    };
    enter(start);
    for (let step = trail.at(-1); step !== undefined; step = trail.at(-1)) {
      const next = step.left.pop();
      if (next === undefined) finished.add(trail.pop()?.name ?? '');
      else enter(next);
    }
  }
  return mistakes;
}

function unknownStore(name: string, stores: Keys): string | undefined {
  if (Object.hasOwn(stores, name)) return undefined;
  const meant = nearest(name, Object.keys(stores));
  return `there is no store of this name${meant === undefined ? '' : `; did you mean ${meant}?`}`;
}

function referencesOf(store: unknown): readonly string[] {
  const references = keysOr(store)['references'];
  return Array.isArray(references) ? references.filter((name) => typeof name === 'string') : [];
}

/** The keys of a value where it has keys, else none. */
export function keysOr(value: unknown): Keys {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Keys) : {};
}
