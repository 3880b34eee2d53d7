import type { Environment } from '../config/environment.ts';
import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import type { Run, Runtime } from '../core/run.ts';
import type { SecretReference } from '../core/secret-reference.ts';
import { readSecret, Secret } from '../io/secret.ts';
import type { Prompter } from './prompt.ts';

export type PassphraseSources = {
  /** What the manifest or an option names. */
  readonly reference: SecretReference | undefined;
  /** For messages: what names it. */
  readonly namedBy: string;
  readonly environment: Environment;
  readonly prompter: Prompter;
  readonly runtime: Runtime;
  readonly warn: (message: string) => void;
};

/** The passphrase of a repository that exists. @throws SECRET_MISSING when it has no source, or its source holds nothing */
export async function askPassphrase(sources: PassphraseSources, run: Run): Promise<Secret> {
  return (await fromSource(sources, run)) ?? new Secret(await typed(sources.prompter, 'Passphrase: ', run));
}

/** The passphrase of a repository that exists, without asking anybody. @throws SECRET_MISSING when its source holds nothing */
export async function givenPassphrase(sources: PassphraseSources, run: Run): Promise<Secret | undefined> {
  const named = namedSource(sources);
  return named && (await read(named.reference, named.by, sources, run));
}

/** The passphrase of a repository that is about to be created: on a terminal it is typed twice. @throws as `askPassphrase` */
export async function askFirstPassphrase(sources: PassphraseSources, run: Run): Promise<Secret> {
  return (await fromSource(sources, run)) ?? (await typedTwice(sources.prompter, run));
}

/** One more passphrase: from `reference`, else from the terminal, never from where the present one is. @throws as `askPassphrase` */
export async function askFurtherPassphrase(sources: PassphraseSources, run: Run): Promise<Secret> {
  const hint = 'Name a file that holds it: --new-passphrase-file FILE.';
  if (sources.reference === undefined) {
    if (sources.prompter.available) return await typedTwice(sources.prompter, run);
    throw new TidemarkError('SECRET_MISSING', 'there is no new passphrase, and no terminal to ask for it', { hint });
  }
  try {
    return await read(sources.reference, sources.namedBy, sources, run);
  } catch (error) {
    if (!isTidemarkError(error, 'SECRET_MISSING')) throw error;
    throw new TidemarkError('SECRET_MISSING', error.message, { hint, cause: error });
  }
}

async function fromSource(sources: PassphraseSources, run: Run): Promise<Secret | undefined> {
  const named = namedSource(sources);
  if (named === undefined) {
    if (sources.prompter.available) return undefined;
    throw noSource();
  }
  return await read(named.reference, named.by, sources, run);
}

async function read(reference: SecretReference, by: string, sources: PassphraseSources, run: Run): Promise<Secret> {
  const { environment, runtime } = sources;
  const context = { purpose: `the passphrase (${by})`, environment: environment.variables, clock: runtime.clock };
  const { secret, findings } = await readSecret(reference, context, run);
  for (const finding of findings) sources.warn(`${finding.message}. ${finding.hint}`);
  return secret;
}

function namedSource({
  reference,
  namedBy,
  environment,
}: PassphraseSources): { readonly reference: SecretReference; readonly by: string } | undefined {
  if (reference !== undefined) return { reference, by: namedBy };
  if (environment.passphraseFile !== undefined) {
    return { reference: { kind: 'file', path: environment.passphraseFile }, by: 'TIDEMARK_PASSPHRASE_FILE' };
  }
  if (environment.passphrase !== undefined) {
    return { reference: { kind: 'variable', name: 'TIDEMARK_PASSPHRASE' }, by: 'TIDEMARK_PASSPHRASE' };
  }
  return undefined;
}

async function typedTwice(prompter: Prompter, run: Run): Promise<Secret> {
  const first = await typed(prompter, 'New passphrase: ', run);
  if ((await typed(prompter, 'The same again: ', run)) !== first) {
    throw new TidemarkError('USAGE', 'the two passphrases are not the same', { hint: 'Run the command again.' });
  }
  return new Secret(first);
}

async function typed(prompter: Prompter, question: string, run: Run): Promise<string> {
  if (!prompter.available) throw noSource();
  const text = await prompter.hidden(question, run);
  if (text === '') {
    throw new TidemarkError('SECRET_MISSING', 'the passphrase is empty', {
      hint: 'Run the command again and type one.',
    });
  }
  return text;
}

function noSource(): TidemarkError {
  return new TidemarkError('SECRET_MISSING', 'there is no passphrase, and no terminal to ask for it', {
    hint: 'Name its file in the manifest (repository.passphraseFile) or in TIDEMARK_PASSPHRASE_FILE, or set TIDEMARK_PASSPHRASE.',
  });
}
