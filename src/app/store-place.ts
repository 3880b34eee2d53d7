import type { Connector, StorePlace } from '../core/connector.ts';
import { loadConnector } from '../connectors/load.ts';
import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import { secretReference } from '../core/secret-reference.ts';
import type { SecretReference } from '../core/secret-reference.ts';
import { readSecret } from '../io/secret.ts';
import type { AppContext } from './application.ts';

/** A store as the manifest or a journal has it. */
export type StoreAddress = {
  readonly name: string;
  readonly kind: string;
  readonly scheme: string;
  readonly target: string;
  readonly via: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
};

/** The connector of a store, and what its methods take. */
export async function resolveStore(
  context: Pick<AppContext, 'runtime' | 'stateOwner' | 'warn'>,
  store: StoreAddress,
  leaveOut: readonly string[] = [],
): Promise<{ readonly connector: Connector<unknown> } & ReturnType<Connector<unknown>['resolve']>> {
  const { scheme, target, via, options } = store;
  const connector = await loadConnector(store.kind);
  const password = askPassword(context, store);
  const { TIDEMARK_PASSPHRASE: _, ...environment } = context.stateOwner.environment;
  return { connector, ...connector.resolve({ scheme, target, password, via, environment, options, leaveOut }) };
}

function askPassword(
  { runtime, stateOwner, warn }: Pick<AppContext, 'runtime' | 'stateOwner' | 'warn'>,
  { name, options }: StoreAddress,
): StorePlace['password'] {
  const reference = passwordReference(options);
  if (reference === undefined) return async () => undefined;
  const purpose = `the password of ${name}`;
  let isTold = false;
  return async (run) => {
    const context = { purpose, environment: stateOwner.environment, clock: runtime.clock };
    const { secret, findings } = await readSecret(reference, context, run).catch(withOwnHint);
    if (!isTold) for (const { message, hint } of findings) warn(`${message}. ${hint}`);
    isTold = true;
    return secret.reveal();
  };
}

/** What is told of a missing secret in general is about the passphrase. */
function withOwnHint(error: unknown): never {
  if (!isTidemarkError(error, 'SECRET_MISSING')) throw error;
  const hint = 'Put it there, or name another passwordFile, passwordEnv or passwordCommand of this store.';
  throw new TidemarkError('SECRET_MISSING', error.message, { hint, cause: error });
}

/** The schema has checked what is there. */
function passwordReference(options: Readonly<Record<string, unknown>>): SecretReference | undefined {
  const { passwordFile, passwordEnv, passwordCommand } = options;
  const command = Array.isArray(passwordCommand) ? passwordCommand.map(String) : undefined;
  const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  return secretReference({ file: textOf(passwordFile), env: textOf(passwordEnv), command });
}
