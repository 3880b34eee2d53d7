/** Everything that waits takes a run: it ends early, with `signal.reason`, when the signal aborts. */
export type Run = { readonly signal: AbortSignal };

/** Time as the library sees it. The only source of time below the command line; tests pass a virtual one. */
export interface Clock {
  /** Wall time in milliseconds since 1970, for people and for labels. It may jump; nothing is ordered or deleted by it. */
  nowMs(): number;
  /** Milliseconds of a clock that never jumps and that counts while the machine is suspended. */
  monotonicMs(): number;
  /** Resolves after `delayMs`; rejects with the signal's reason when it aborts. */
  sleep(delayMs: number, run: Run): Promise<void>;
}

/** Fills and returns a fresh array with `sizeBytes` random bytes. Cryptographically strong outside of tests. */
export type RandomBytes = (sizeBytes: number) => Uint8Array;

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Structured log: a fixed message and facts as fields. Secrets never go in. */
export interface Logger {
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** What is given once, when something is opened. */
export type Runtime = {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly logger: Logger;
  /** For scratch files that may vanish with the process. */
  readonly temporaryFolder: string;
};
