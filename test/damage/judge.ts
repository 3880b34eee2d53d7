import { parseRecordKey } from '../../src/repository/format/names.ts';
import type { Damage } from '../../src/repository/verify/damage.ts';
import type { VerifyReport } from '../../src/repository/verify.ts';
import { isStructural } from './changes.ts';
import type { Change } from './changes.ts';
import type { Dependencies } from './dependencies.ts';
import { isChained, neededBodies, neededPacks } from './object-kinds.ts';
import type { ObjectKind } from './object-kinds.ts';
import type { Lost, Outcome } from './oracle.ts';
import type { World } from './world.ts';

export type Observed = {
  readonly world: World;
  readonly dependencies: Dependencies;
  readonly kindOf: (key: string) => ObjectKind;
  readonly changes: readonly Change[];
  readonly outcome: Outcome;
  /** Undefined where the repository could not be opened. */
  readonly full?: VerifyReport | undefined;
  readonly structure?: VerifyReport | undefined;
};

/** Whether verify has to say something about a change, may, or must not because it is none of its business. */
type Duty = 'must' | 'may' | 'not';

/** Everything that is not as it has to be. None: the case is fine. */
export function judge(observed: Observed): readonly string[] {
  const { outcome } = observed;
  if (outcome.refused !== undefined) return [...outcome.faults, ...judgeRefusal(observed)];
  return [
    ...outcome.faults,
    ...judgeReport(observed, observed.full, 'every byte'),
    ...judgeReport(observed, observed.structure, 'structure'),
    ...judgeRest(observed),
    ...judgeEntries(observed),
  ];
}

/** Only damage to what opens the repository may keep it shut. */
function* judgeRefusal({ changes, kindOf, outcome }: Observed): Generator<string> {
  const isExplained = changes.some(({ key }) => ['header', 'key slot'].includes(kindOf(key)));
  if (!isExplained) yield `nothing can be read: ${outcome.refused?.message}`;
}

function* judgeReport(
  observed: Observed,
  report: VerifyReport | undefined,
  what: 'every byte' | 'structure',
): Generator<string> {
  if (report === undefined) {
    yield `no report of ${what}`;
    return;
  }
  const { changes, outcome, world } = observed;
  const lost = outcome.lost.filter(
    ({ mark, store }) => what === 'every byte' || isLostByStructure(observed, { mark, store }),
  );
  const gone = changes.flatMap(({ key, how }) => (how === 'gone' ? (parseRecordKey(key)?.session ?? []) : []));
  const duties = changes.map((change) => ({ change, duty: dutyOf(observed, change, what) }));
  for (const { change, duty } of duties) {
    if (duty === 'must' && !report.damage.some((item) => names(item, change, gone))) {
      yield `${what}: ${change.key} is ${change.how}, and not found`;
    }
  }
  for (const item of lost) {
    if (!report.damage.some((damage) => explains(observed, damage, item, gone))) {
      yield `${what}: ${item.mark} ${item.store} is lost, and not said to be`;
    }
  }
  if (duties.every(({ duty }) => duty === 'not')) {
    for (const { object, message } of report.damage) yield `${what}: ${object} is said to be damaged: ${message}`;
  }
  yield* judgeForm(report.damage, what);
  const known = new Map(world.marks.map((mark) => [mark.id, mark]));
  const isLost = new Set(outcome.lost.map(({ mark, store }) => `${mark} ${store}`));
  // A chunk outside of the packs that a base names can still be read, until a sweep takes it.
  const mayBeElsewhere = changes.some(
    ({ key, how }) => key.startsWith('packs/') && (how === 'new' || changes.length > 1),
  );
  for (const { affects } of report.damage) {
    for (const text of affects) {
      const [mark = '', store = ''] = text.split(' ');
      if (known.get(mark)?.bases[store] === undefined || isLost.has(text) || mayBeElsewhere) continue;
      yield `${what}: ${text} is said to be lost, and is not`;
    }
  }
}

/** One item an object, bounded, one line each. */
function* judgeForm(damage: readonly Damage[], what: string): Generator<string> {
  if (new Set(damage.map(({ object }) => object)).size !== damage.length) yield `${what}: an object is named twice`;
  for (const { object, kind, message, affects } of damage) {
    if (object === '' || kind === '' || message === '') yield `${what}: an item says nothing`;
    if (affects.length > 42 || new Set(affects).size !== affects.length) yield `${what}: ${object} affects too much`;
    if ([object, kind, message, ...affects].some((text) => /\p{Cc}/u.test(text))) {
      yield `${what}: ${object} is not fit for a terminal`;
    }
  }
}

function dutyOf(
  { world, kindOf, dependencies, outcome }: Observed,
  change: Change,
  what: 'every byte' | 'structure',
): Duty {
  const kind = kindOf(change.key);
  if (change.how === 'new') {
    return ['beat', 'condemned', 'index', 'spare pack', 'body', 'foreign'].includes(kind) ||
      world.removed.has(change.key)
      ? 'not'
      : 'may';
  }
  // What no mark needs any more is none of its business.
  const isNeeded = outcome.catalogue !== undefined && neededPacks(outcome.catalogue).has(change.key);
  if ((kind === 'content pack' || kind === 'node pack') && !isNeeded) return 'may';
  if (kind === 'content pack' || kind === 'node pack') {
    return what === 'every byte' || isStructural(world, change) ? 'must' : 'may';
  }
  if (kind === 'body') {
    if (outcome.catalogue === undefined || !neededBodies(outcome.catalogue).has(change.key)) return 'may';
    return what === 'every byte' || change.how !== 'changed' ? 'must' : 'may';
  }
  if (kind === 'certificate') return dependsOn(dependencies, change.key) ? 'must' : 'may';
  if (kind === 'header' || kind === 'key slot') return 'may';
  return isChained(kind) ? 'must' : 'not';
}

function dependsOn({ objects }: Dependencies, key: string): boolean {
  return [...objects.values()].some((keys) => keys.has(key));
}

/** Whether an item is about this change. Sessions that are gone together are known by the last one alone, which named the others. */
function names({ object, message }: Damage, { key, how }: Change, gone: readonly string[]): boolean {
  if (object === key) return true;
  if (parseRecordKey(key) === undefined || how !== 'gone') return false;
  return gone.some((session) => object.includes(session) || message.includes(session));
}

/** Whether an item says that this store of this mark can't be restored. */
function explains(
  { world, changes }: Observed,
  damage: Damage,
  { mark, store }: Lost,
  gone: readonly string[],
): boolean {
  const { object, affects } = damage;
  if (affects.includes(`${mark} ${store}`)) return true;
  const journal = world.marks.find(({ id }) => id === mark)?.key ?? '';
  const signer = world.catalogue.log.byKey.get(journal)?.record.header.credential;
  if (affects.includes(`all marks of ${journal}`) || object === `credentials/${signer}`) return true;
  // Which marks a journal object held that is gone nobody can tell.
  return changes.some((change) => change.key === journal && change.how === 'gone' && names(damage, change, gone));
}

/** Lost by something that structure shows: without its tree, or with a pack that can't be opened. */
function isLostByStructure({ world, outcome, changes, dependencies }: Observed, { mark, store }: Lost): boolean {
  const base = world.marks.find(({ id }) => id === mark)?.bases[store] ?? `${mark} ${store}`;
  const restored = outcome.bases.get(base);
  if (restored === undefined || restored.walkFailed) return true;
  const needed = dependencies.objects.get(`${mark} ${store}`);
  return changes.some(
    ({ key, how }) => needed?.has(key) === true && (how === 'gone' || (key.startsWith('logs/') && how === 'resized')),
  );
}

/** What takes none of the changed objects must be as it was. */
function* judgeRest({ dependencies, changes, outcome }: Observed): Generator<string> {
  const touched = new Set(changes.map(({ key }) => key));
  for (const { mark, store } of outcome.lost) {
    const needed = dependencies.objects.get(`${mark} ${store}`) ?? new Set();
    if (![...needed].some((key) => touched.has(key))) {
      yield `${mark} ${store} takes nothing that is damaged, and is lost`;
    }
  }
}

/** In a base that is not whole, every entry whose own bytes are untouched can still be had. */
function* judgeEntries({ dependencies, changes, outcome }: Observed): Generator<string> {
  const packs = changes.filter(({ key }) => key.startsWith('packs/'));
  for (const [base, { lostNames }] of outcome.bases) {
    for (const [name, ranges] of dependencies.entries.get(base) ?? []) {
      if (!lostNames.has(name)) continue;
      const isHit = ranges.some(({ key, from, to }) =>
        packs.some(
          (change) =>
            change.key === key &&
            (change.how !== 'changed' || change.spans.some((span) => span.from < to && from < span.to)),
        ),
      );
      const hasManifest = !changes.some(({ key }) => key === base);
      if (!isHit && hasManifest) yield `${base}: ${JSON.stringify(name)} takes nothing that is damaged, and is lost`;
    }
  }
}
