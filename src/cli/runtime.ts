import { randomBytes } from 'node:crypto';
import type { Logger, Runtime } from '../core/run.ts';
import { createSystemClock } from '../flow/clock.ts';
import { bootTimeMs, nativeAvailable } from '../io/native.ts';

/** The machine itself: its clock, which counts suspend where that can be had, its random numbers, its folder for scratch files. */
export function createRuntime(options: { readonly logger: Logger; readonly temporaryFolder: string }): Runtime {
  return {
    clock: nativeAvailable() ? createSystemClock(bootTimeMs) : createSystemClock(),
    random: (sizeBytes) => new Uint8Array(randomBytes(sizeBytes)),
    ...options,
  };
}
