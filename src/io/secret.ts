import { stat } from 'node:fs/promises';
import { inspect } from 'node:util';
import { fromSystem, TidemarkError } from '../core/errors.ts';
import type { ErrorDetails } from '../core/errors.ts';
import type { Finding } from '../core/finding.ts';
import type { Clock, Run } from '../core/run.ts';
import type { SecretReference } from '../core/secret-reference.ts';
import { readSmallFile } from './atomic-file.ts';
import { runProgram } from './program.ts';
import type { Environment } from './program.ts';

const HIDDEN = '***';

/** A passphrase, password or token. It shows as `***` wherever it is printed, logged or serialized; only `reveal` tells it. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return HIDDEN;
  }

  toJSON(): string {
    return HIDDEN;
  }

  [inspect.custom](): string {
    return HIDDEN;
  }
}

export type SecretContext = {
  /** For messages: what the secret is for and where that is said, such as `the passphrase (repository.passphraseFile)`. */
  readonly purpose: string;
  /** Variables for the reference and for the command; nothing is taken from the process itself. */
  readonly environment: Environment;
  readonly clock: Clock;
};

/** `findings`: what is wrong with how the secret is kept, for the caller to tell. */
export type FoundSecret = { readonly secret: Secret; readonly findings: readonly Finding[] };

const MAX_SECRET_BYTES = 64 * 1024;
const COMMAND_TIMEOUT_MS = 60_000;

/**
 * Reads a secret from where it is. Of a file or a command's first line, the line's end is not part of it.
 * @throws SECRET_MISSING, naming purpose and source, when there is nothing, or nothing that is text
 */
export async function readSecret(reference: SecretReference, context: SecretContext, run: Run): Promise<FoundSecret> {
  switch (reference.kind) {
    case 'file':
      return await fromFile(reference.path, context, run);
    case 'variable':
      return { secret: fromVariable(reference.name, context), findings: [] };
    case 'command':
      return { secret: await fromCommand(reference.command, context, run), findings: [] };
  }
  return reference satisfies never;
}

function missing({ purpose }: SecretContext, why: string, details?: ErrorDetails): TidemarkError {
  return new TidemarkError('SECRET_MISSING', `no secret for ${purpose}: ${why}`, details);
}

function toSecret(bytes: Uint8Array, source: string, context: SecretContext): Secret {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const hint = 'Keep binary secrets as text, in base64 or hexadecimal.';
    throw missing(context, `what ${source} holds is not UTF-8 text`, { hint, cause });
  }
  const line = text.replace(/\r?\n$/, '');
  if (line === '') throw missing(context, `${source} is empty`);
  return new Secret(line);
}

async function fromFile(path: string, context: SecretContext, run: Run): Promise<FoundSecret> {
  run.signal.throwIfAborted();
  try {
    const secret = toSecret(await readSmallFile(path, MAX_SECRET_BYTES), `file ${path}`, context);
    const { mode } = await stat(path);
    return { secret, findings: (mode & 0o004) === 0 ? [] : [readableByAll(path)] };
  } catch (error) {
    throw fromSystem(error, 'SECRET_MISSING', `no secret for ${context.purpose}: the file ${path} can’t be read`);
  }
}

function readableByAll(path: string): Finding {
  return {
    code: 'SECRET_FILE_READABLE',
    severity: 'warning',
    message: `every user of this machine can read the secret in ${path}`,
    hint: `Take that right away: chmod o-r ${path}`,
  };
}

function fromVariable(name: string, context: SecretContext): Secret {
  const text = context.environment[name];
  if (text === undefined) throw missing(context, `the variable ${name} is not set`);
  if (text === '') throw missing(context, `the variable ${name} is empty`);
  return new Secret(text);
}

async function fromCommand(command: readonly string[], context: SecretContext, run: Run): Promise<Secret> {
  const { environment, clock } = context;
  const source = `the command ${command[0] ?? ''}`;
  const limits = { timeoutMs: COMMAND_TIMEOUT_MS, maxOutputBytes: MAX_SECRET_BYTES };
  try {
    const output = await runProgram({ command, environment, clock, ...limits }, run);
    const end = output.indexOf(0x0a);
    return toSecret(end < 0 ? output : output.subarray(0, end + 1), `the output of ${source}`, context);
  } catch (error) {
    run.signal.throwIfAborted();
    if (error instanceof TidemarkError && error.code === 'SECRET_MISSING') throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw missing(context, why, { cause: error });
  }
}
