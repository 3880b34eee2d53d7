import { must } from '../../src/core/must.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import type { ObjectKind } from './object-kinds.ts';
import type { World } from './world.ts';

/** What can happen to stored objects without anybody who holds a key. */
export const DAMAGES = [
  'flip',
  'zero',
  'truncate',
  'extend',
  'delete',
  'swap alike',
  'swap any',
  'older bytes',
  'put back',
  'move',
  'copy',
  'roll back newest',
  'roll back session',
] as const;

export type DamageKind = (typeof DAMAGES)[number];

type Damager = (target: { readonly key: string; readonly bytes: Uint8Array }, context: DamageContext) => string;

export type DamageContext = {
  readonly world: World;
  readonly random: SeededRandom;
  readonly kindOf: (key: string) => ObjectKind;
};

const damagers: Readonly<Record<DamageKind, Damager>> = {
  flip({ key, bytes }, { world, random }) {
    const changed = Buffer.from(bytes);
    const bits = Array.from(
      { length: 1 + random.integer(3) },
      () => [random.integer(changed.byteLength), random.integer(8)] as const,
    );
    for (const [at, bit] of bits) changed[at] = (changed[at] ?? 0) ^ (1 << bit);
    world.fixture.memory.put(key, changed);
    return `bits ${bits.map(([at, bit]) => `${at}.${bit}`).join(' ')}`;
  },
  zero({ key, bytes }, { world, random }) {
    const changed = Buffer.from(bytes);
    const from = random.integer(changed.byteLength);
    const end = Math.min(changed.byteLength, from + 1 + random.integer(512));
    changed.fill(0, from, end);
    world.fixture.memory.put(key, changed);
    return `bytes ${from} to ${end}`;
  },
  truncate({ key, bytes }, { world, random }) {
    const sizeBytes = random.integer(bytes.byteLength);
    world.fixture.memory.put(key, Buffer.from(bytes.subarray(0, sizeBytes)));
    return `to ${sizeBytes}`;
  },
  extend({ key, bytes }, { world, random }) {
    const more = random.chance(0.5) ? random.bytes(1 + random.integer(2000)) : Buffer.alloc(1 + random.integer(2000));
    world.fixture.memory.put(key, Buffer.concat([bytes, more]));
    return `by ${more.byteLength}`;
  },
  delete({ key }, { world }) {
    world.fixture.memory.remove(key);
    return '';
  },
  'swap alike': (target, context) => swap(target, context, (kind) => kind === context.kindOf(target.key)),
  'swap any': (target, context) => swap(target, context, () => true),
  'older bytes'(target, { world, random, kindOf }) {
    const { memory } = world.fixture;
    const place = world.inOrder.indexOf(target.key);
    const alike = (key: string): boolean => kindOf(key) === kindOf(target.key) && key !== target.key;
    const older = world.inOrder.filter((key, index) => index < place && alike(key));
    const removed = [...world.removed.keys()].filter((key) => folderOf(key) === folderOf(target.key));
    const [from] = random.shuffle([...older, ...removed]);
    if (from === undefined) return 'nothing older';
    memory.put(target.key, must(memory.get(from) ?? world.removed.get(from), 'older bytes'));
    return `of ${from}`;
  },
  'put back'(_target, { world, random }) {
    const count = 1 + random.integer(4);
    const back = random.shuffle([...world.removed.keys()]).slice(0, count);
    for (const key of back) {
      world.fixture.memory.put(key, must(world.removed.get(key), 'removed bytes'), world.fixture.clock.nowMs());
    }
    return back.join(' ');
  },
  move(target, context) {
    const to = copy(target, context);
    context.world.fixture.memory.remove(target.key);
    return to;
  },
  copy: (target, context) => copy(target, context),
  'roll back newest'(_target, { world, random }) {
    const present = world.inOrder.filter((key) => world.fixture.memory.get(key) !== undefined);
    const newest = present.slice(-1 - random.integer(40));
    for (const key of newest) world.fixture.memory.remove(key);
    return `${newest.length}, from ${newest[0]} on`;
  },
  'roll back session'(_target, { world, random }) {
    const { memory } = world.fixture;
    const sessions = [
      ...new Set(
        world.inOrder.flatMap(
          (key) => /[/]([0-9a-f]{32})(?:[/-]|$)/.exec(key.replace(/^(?:packs|index)[/][0-9a-f]+/, ''))?.[1] ?? [],
        ),
      ),
    ];
    const session = random.pick(sessions);
    for (const key of memory.keys()) if (key.includes(session) && !key.startsWith('credentials/')) memory.remove(key);
    return session;
  },
};

/** Does one thing to the object, or to others where it is a roll back. Says what, so that it can be understood from the report. */
export function applyDamage(kind: DamageKind, key: string, context: DamageContext): string {
  const bytes = must(context.world.fixture.memory.get(key), 'an object that is there');
  return `${kind} ${key} ${damagers[kind]({ key, bytes }, context)}`;
}

function swap(
  target: { readonly key: string; readonly bytes: Uint8Array },
  { world, random, kindOf }: DamageContext,
  fits: (kind: ObjectKind) => boolean,
): string {
  const { memory } = world.fixture;
  const others = memory.keys().filter((key) => key !== target.key && fits(kindOf(key)));
  const [other] = random.shuffle(others);
  if (other === undefined) return 'nothing to swap with';
  const bytes = must(memory.get(other), 'the other object');
  memory.put(other, target.bytes);
  memory.put(target.key, bytes);
  return `with ${other}`;
}

/** To a name of the same form, or into another folder. */
function copy(
  { key, bytes }: { readonly key: string; readonly bytes: Uint8Array },
  { world, random }: DamageContext,
): string {
  const digits = /[0-9a-f]{8,64}/g;
  const renamed = key.replaceAll(digits, (found) =>
    random.chance(0.6) ? Buffer.from(random.bytes(found.length / 2)).toString('hex') : found,
  );
  const folders = ['manifests', 'journal', 'void', 'pins', 'runs', 'packs', 'credentials', 'elsewhere'];
  const to = random.chance(0.7) ? renamed : `${random.pick(folders)}/${key.slice(key.indexOf('/') + 1)}`;
  if (world.fixture.memory.get(to) !== undefined) return `to ${to}, which is taken`;
  world.fixture.memory.put(to, bytes, world.fixture.clock.nowMs());
  return `to ${to}`;
}

function folderOf(key: string): string {
  return key.slice(0, key.indexOf('/'));
}
