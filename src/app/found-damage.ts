import type { Catalogue } from '../repository/catalogue.ts';
import { neededOf } from '../repository/known-damage.ts';
import type { KnownDamage } from '../repository/known-damage.ts';
import type { AlarmResult } from './results.ts';
import { isoTime } from './shown.ts';

const CODE = 'DAMAGE_FOUND';

type Looked = {
  readonly catalogue: Catalogue;
  readonly damage: KnownDamage;
  /** False where the key at hand does not tell which objects a backup needs. */
  readonly knowsNeeds: boolean;
};

/**
 * What verifications found damaged and none found whole since, as far as a mark still needs it. A store whose newest mark needs none of it is told of
 * as well, and that only older ones do.
 */
export function foundDamage({ catalogue, damage, knowsNeeds }: Looked): readonly AlarmResult[] {
  const { objects, others, foundAtMs } = damage;
  const count = objects.size + others;
  if (count === 0) return [];
  const found = `found by \`tidemark verify\` at ${isoTime(foundAtMs)}`;
  if (!knowsNeeds) {
    const message = `${numberOf(count, 'thing is', 'things are')} damaged in the repository, ${found}`;
    const hint =
      'Run `tidemark backup`, which stores damaged contents anew, then `tidemark verify --data` where the passphrase is: it says what is affected.';
    return [{ code: CODE, message, hint }];
  }
  return [...ofStores({ catalogue, objects, found }), ...ofOthers(others, found)];
}

function ofStores(looked: {
  readonly catalogue: Catalogue;
  readonly objects: ReadonlySet<string>;
  readonly found: string;
}): readonly AlarmResult[] {
  const { catalogue, objects, found } = looked;
  if (objects.size === 0) return [];
  const needed = neededOf(objects, catalogue, catalogue.marks);
  return [...needed].map(([store, count]): AlarmResult => {
    const newest = catalogue.marks.findLast(
      ({ mark, standsOn }) => standsOn.has(store) && !mark.missing.includes(store),
    );
    const now = newest === undefined ? 0 : (neededOf(objects, catalogue, [newest]).get(store) ?? 0);
    return now > 0 ? newestIsHurt(store, now, found) : olderAreHurt(store, count, found);
  });
}

function newestIsHurt(store: string, count: number, found: string): AlarmResult {
  const message = `its newest backup needs ${numberOf(count, 'object that is', 'objects that are')} damaged, ${found}`;
  const hint = `\`tidemark backup ${store}\` stores anew what is damaged; \`tidemark verify --data\` then says what is still affected.`;
  return { code: CODE, store, message, hint };
}

function olderAreHurt(store: string, count: number, found: string): AlarmResult {
  const message = `older marks need ${numberOf(count, 'object that is', 'objects that are')} damaged, ${found}; its newest backup does not`;
  const hint =
    '`tidemark verify --data` names the marks. This ends when retention has given them up, or once the objects are put back from another copy of the repository and verified.';
  return { code: CODE, store, message, hint };
}

function ofOthers(others: number, found: string): readonly AlarmResult[] {
  if (others === 0) return [];
  const message = `${numberOf(others, 'thing is', 'things are')} damaged in the repository, ${found}`;
  return [{ code: CODE, message, hint: 'Run `tidemark verify --data` to see what is affected.' }];
}

function numberOf(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
