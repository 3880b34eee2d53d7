import { TidemarkError } from '../../core/errors.ts';
import { assume } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import type { ObjectInfo, ObjectStore } from '../object-store.ts';
import { forward } from './forward.ts';

export type StoreCallName = 'create' | 'read' | 'stat' | 'list' | 'delete' | 'nowMs';

/** One call of a store. `position` counts all calls from 0, `nth` those of its name from 0. */
export type StoreCall = {
  readonly position: number;
  readonly name: StoreCallName;
  readonly nth: number;
  /** Its key, the first of its keys, or its prefix. */
  readonly key: string;
};

/**
 * `fail` before the call has an effect, or after it: the answer is lost. A listing fails before or after its first batch.
 * `torn`: a create leaves only its first bytes under the key, then fails. `flip`: a read returns the byte at `offset` of the object with the
 * bits of `mask` flipped. `hide`: a listing leaves these keys out. `hold`: the call waits, before its effect or between effect and answer.
 */
export type Fault =
  | { readonly kind: 'fail'; readonly when: 'before' | 'after'; readonly error: unknown }
  | { readonly kind: 'torn'; readonly keepBytes: number; readonly error: unknown }
  | { readonly kind: 'flip'; readonly offset: number; readonly mask: number }
  | { readonly kind: 'hide'; readonly keys: (key: string) => boolean }
  | { readonly kind: 'hold'; readonly when: 'before' | 'after'; readonly until: (run: Run) => Promise<void> };

/** Asked once for each call, when it is made. */
export type FaultPlan = (call: StoreCall) => Fault | undefined;

export interface FaultyStore extends ObjectStore {
  /** All calls so far, in order: a run without faults shows at which positions the next ones can fail. */
  readonly calls: readonly StoreCall[];
}

/** What a network does: it may pass. */
export function passingFault(): TidemarkError {
  return new TidemarkError('REPOSITORY_UNREACHABLE', 'injected: the connection was reset', { disposition: 'retry' });
}

/** What no retry helps against. */
export function lastingFault(): TidemarkError {
  return new TidemarkError('REPOSITORY_UNREACHABLE', 'injected: permission denied', { disposition: 'stop' });
}

export function faultAt(position: number, fault: Fault): FaultPlan {
  return (call) => (call.position === position ? fault : undefined);
}

/** As if the process were killed before or after the effect of that call: it and all later calls fail, and have no effect. */
export function deathAt(position: number, when: 'before' | 'after'): FaultPlan {
  const error = new TidemarkError('INTERRUPTED', `injected: killed ${when} call ${position}`);
  return (call) => {
    if (call.position < position) return undefined;
    return { kind: 'fail', when: call.position === position ? when : 'before', error };
  };
}

/** Makes the faults that `plan` asks for. A fault that does not fit its call is a BugError. Owns `store`. */
export function faultyStore(store: ObjectStore, plan: FaultPlan): FaultyStore {
  const calls: StoreCall[] = [];
  const counts = new Map<StoreCallName, number>();
  const enter = (name: StoreCallName, key: string): Fault | undefined => {
    const nth = counts.get(name) ?? 0;
    counts.set(name, nth + 1);
    const call = { position: calls.length, name, nth, key };
    calls.push(call);
    return plan(call);
  };
  const simple = <T>(name: StoreCallName, key: string, effect: Effect<T>): Promise<T> =>
    affected(enter(name, key), effect);
  return {
    ...forward(store),
    calls,
    create: (key, body, run) => {
      const fault = enter('create', key);
      if (fault?.kind === 'torn') return tear(store, { key, body, fault }, run);
      return affected(fault, { run, take: () => store.create(key, body, run) });
    },
    read: (key, offset, into, run) => {
      const fault = enter('read', key);
      const take = (): Promise<number> => store.read(key, offset, into, run);
      if (fault?.kind === 'flip') return flip(fault, { offset, into, take });
      return affected(fault, { run, take });
    },
    stat: (key, run) => simple('stat', key, { run, take: () => store.stat(key, run) }),
    delete: (keys, run) => simple('delete', keys[0] ?? '', { run, take: () => store.delete(keys, run) }),
    nowMs: (run) => simple('nowMs', '', { run, take: () => store.nowMs(run) }),
    list: (prefix, after, run) => listWith(enter('list', prefix), store.list(prefix, after, run), run),
  };
}

type Effect<T> = { readonly run: Run; readonly take: () => Promise<T> };
type FaultOf<Kind extends Fault['kind']> = Extract<Fault, { readonly kind: Kind }>;

async function affected<T>(fault: Fault | undefined, { run, take }: Effect<T>): Promise<T> {
  if (fault === undefined) return await take();
  assume(fault.kind === 'fail' || fault.kind === 'hold', `a fault that fits, not ${fault.kind}`);
  if (fault.when === 'before') await strike(fault, run);
  const result = await take();
  if (fault.when === 'after') await strike(fault, run);
  return result;
}

async function strike(fault: FaultOf<'fail' | 'hold'>, run: Run): Promise<void> {
  if (fault.kind === 'fail') throw fault.error;
  await fault.until(run);
}

type Tear = { readonly key: string; readonly body: readonly Uint8Array[]; readonly fault: FaultOf<'torn'> };

async function tear(store: ObjectStore, { key, body, fault }: Tear, run: Run): Promise<never> {
  const whole = Buffer.concat(body);
  assume(fault.keepBytes < whole.byteLength, 'fewer bytes than the body has');
  await store.create(key, [whole.subarray(0, fault.keepBytes)], run);
  throw fault.error;
}

type Range = { readonly offset: number; readonly into: Uint8Array; readonly take: () => Promise<number> };

async function flip(fault: FaultOf<'flip'>, { offset, into, take }: Range): Promise<number> {
  const count = await take();
  const index = fault.offset - offset;
  const byte = into[index];
  if (index >= 0 && index < count && byte !== undefined) into[index] = byte ^ fault.mask;
  return count;
}

async function* listWith(
  fault: Fault | undefined,
  listing: AsyncIterable<readonly ObjectInfo[]>,
  run: Run,
): AsyncGenerator<readonly ObjectInfo[]> {
  if (fault === undefined || fault.kind === 'hide') {
    yield* hiding(listing, fault?.keys ?? (() => false));
    return;
  }
  assume(fault.kind === 'fail' || fault.kind === 'hold', `a fault that fits, not ${fault.kind}`);
  if (fault.when === 'before') await strike(fault, run);
  let struck = fault.when === 'before';
  for await (const batch of listing) {
    yield batch;
    if (!struck) await strike(fault, run);
    struck = true;
  }
  if (!struck) await strike(fault, run);
}

async function* hiding(
  listing: AsyncIterable<readonly ObjectInfo[]>,
  hidden: (key: string) => boolean,
): AsyncGenerator<readonly ObjectInfo[]> {
  for await (const batch of listing) {
    const left = batch.filter((info) => !hidden(info.key));
    if (left.length > 0) yield left;
  }
}
