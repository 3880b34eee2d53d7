import type { StoreConfiguration } from '../config/configuration.ts';
import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import { runProgram } from '../io/program.ts';
import type { OpenApplication } from './application.ts';
import { resolveStore } from './store-place.ts';

/** Stores without hooks are locked for so long at most. */
const HOLD_MS = 10_000;
const MOST_OUTPUT_BYTES = 64 * 1024;
const UNABORTED: Run = { signal: new AbortController().signal };

/** Stores that are held still until this is disposed, or until the time is up that began before the first was held, which `isExpired` tells. */
export type HeldStores = AsyncDisposable & { readonly isExpired: boolean };

/**
 * Holds stores still: locked by their connector, or by the operator's hooks. Whatever was begun is released in every case, hooks also when they
 * failed. @throws UNSUPPORTED naming what can't be held; FAILED when a hook fails or time is up; STORE_UNREACHABLE
 */
export async function holdStores(
  application: OpenApplication,
  stores: readonly StoreConfiguration[],
  run: Run,
): Promise<HeldStores> {
  const ways = await Promise.all(stores.map((store) => wayToHold(application, store)));
  const missing = stores.filter((_, index) => ways[index] === undefined).map(({ name }) => name);
  if (missing.length > 0) {
    throw new TidemarkError('UNSUPPORTED', `${missing.join(', ')} can’t be held still`, {
      hint: 'Give these stores a `seal:` with the programs that pause and resume what writes to them, or take a mark without --sealed.',
    });
  }
  const limitMs = Math.min(...stores.map(({ seal }) => seal?.withinMs ?? HOLD_MS));
  const tooLong = new TidemarkError('FAILED', `the stores were not to be held for more than ${limitMs / 1000} s`);
  const limit = new AbortController();
  const ended = new AbortController();
  // What is held first also waits for the others.
  const timer = application.context.runtime.clock.sleep(limitMs, { signal: ended.signal }).then(
    () => limit.abort(tooLong),
    () => undefined,
  );
  const stopTimer = async (): Promise<void> => {
    ended.abort();
    await timer;
  };
  try {
    await using stack = new AsyncDisposableStack();
    const signal = AbortSignal.any([run.signal, limit.signal]);
    // Hooks come first: what they wait for may be about to write to a store that its connector locks.
    const inTurn = stores.map(({ seal }, index) => ({ isHook: seal !== undefined, hold: ways[index] }));
    for (const isHook of [true, false]) {
      for (const way of inTurn) if (way.isHook === isHook) await way.hold?.(stack, { signal });
    }
    signal.throwIfAborted();
    return releasedInTime(stack.move(), limit.signal, stopTimer);
  } catch (error) {
    await stopTimer();
    throw error;
  }
}

function releasedInTime(held: AsyncDisposableStack, limit: AbortSignal, stopTimer: () => Promise<void>): HeldStores {
  let released: Promise<void> | undefined;
  const release = (): Promise<void> => (released ??= held.disposeAsync());
  // Who disposes it hears of what fails; until then nobody does.
  limit.addEventListener('abort', () => void release().catch(() => undefined), { once: true });
  return {
    get isExpired() {
      return limit.aborted;
    },
    async [Symbol.asyncDispose]() {
      await stopTimer();
      await release();
    },
  };
}

type Hold = (stack: AsyncDisposableStack, run: Run) => Promise<void>;

/** What a hook has begun is undone by the other, so that is arranged first. */
async function wayToHold(application: OpenApplication, store: StoreConfiguration): Promise<Hold | undefined> {
  const { runtime, stateOwner } = application.context;
  const { seal } = store;
  if (seal !== undefined) {
    const call = async (command: readonly string[], run: Run): Promise<void> => {
      const { environment } = stateOwner;
      const limits = { timeoutMs: seal.withinMs, maxOutputBytes: MOST_OUTPUT_BYTES, clock: runtime.clock };
      await runProgram({ command, environment, ...limits }, run);
    };
    return async (stack, run) => {
      stack.defer(() => call(seal.resume, UNABORTED));
      await call(seal.pause, run);
    };
  }
  const { connector, options } = await resolveStore(application.context, store);
  const { hold } = connector;
  if (hold === undefined) return undefined;
  return async (stack, run) => {
    stack.use(await hold.call(connector, options, runtime, run));
  };
}
