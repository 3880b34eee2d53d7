import { DOCTOR_CLAUSE } from '../../core/error-codes.ts';
import { systemCode, systemMeaning, TidemarkError } from '../../core/errors.ts';
import type { ErrorDetails } from '../../core/errors.ts';
import { shownAddress } from './place.ts';
import type { Address } from './place.ts';

/** What a server answered with `-`. `kind` is its first word, such as NOAUTH. */
export class ErrorReply extends Error {
  override readonly name = 'ErrorReply';
  readonly kind: string;

  constructor(message: string) {
    super(message);
    this.kind = /^[A-Z]+/.exec(message)?.[0] ?? 'ERR';
  }
}

/** The commands that a recorder needs, as an ACL grants them. */
export const RECORDER_RULES = '+ping +info +psync +replconf';

/** The commands and keys that a restore into a server needs; what the server holds is kept as by a recorder. */
export const RESTORE_RULES = `~* ${RECORDER_RULES} +@read +@write +@transaction +select +time +function`;

const NETWORK: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'it ended the connection',
  EPIPE: 'it ended the connection',
  ENOTFOUND: 'no such host is known',
  EAI_AGAIN: 'the host’s name can’t be looked up now',
  EHOSTUNREACH: 'there is no way to the host',
  ENETUNREACH: 'there is no way to its network',
  ETIMEDOUT: 'it does not answer',
};

const CERTIFICATES =
  /^(?:ERR_TLS_CERT_ALTNAME_INVALID|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA|ERR_SSL_|EPROTO)/;

export function unreachable(server: Address, why: string, details: ErrorDetails = {}): TidemarkError {
  return new TidemarkError('STORE_UNREACHABLE', `the Redis server ${shownAddress(server)}: ${why}`, {
    hint: `Check that it runs, that this host may connect to it, and that the URL names it${DOCTOR_CLAUSE}.`,
    ...details,
  });
}

/** What a socket or TLS failed with. */
export function connectionError(server: Address, cause: unknown): TidemarkError {
  if (cause instanceof TidemarkError) return cause;
  const code = systemCode(cause) ?? '';
  const told = cause instanceof Error ? cause.message : String(cause);
  if (!CERTIFICATES.test(code)) {
    return unreachable(server, NETWORK[code] ?? systemMeaning(code) ?? told, { cause });
  }
  const isName = code === 'ERR_TLS_CERT_ALTNAME_INVALID';
  return unreachable(server, isName ? 'its certificate is for another host' : `TLS fails: ${told}`, {
    cause,
    hint: isName
      ? 'Name the host as the certificate does, or say with serverName what name it has.'
      : 'Check that it speaks TLS at this port, that caFile holds the certificates of who signed its own, and that certFile and keyFile are what it asks for.',
  });
}

/** What a server's refusal means. `doing` reads after "it refuses": `to log in`. */
export function refusal(server: Address & { readonly user?: string | undefined }, reply: ErrorReply): TidemarkError {
  const { user } = server;
  const who = user === undefined ? 'the default user' : `the user ${user}`;
  switch (reply.kind) {
    case 'WRONGPASS':
      return unreachable(server, `it refuses the password of ${who}`, {
        cause: reply,
        hint: 'Check passwordFile, passwordEnv or passwordCommand of this store, and the user in its URL.',
      });
    case 'NOAUTH':
      return unreachable(server, 'it asks for a password', {
        cause: reply,
        hint: 'Say with passwordFile, passwordEnv or passwordCommand of this store where it is.',
      });
    case 'NOPERM':
      return unreachable(server, `${who} lacks a permission: ${reply.message.replace(/^NOPERM /, '')}`, {
        cause: reply,
        hint: permissionHint(user ?? 'default', reply.message),
      });
    case 'LOADING':
    case 'MASTERDOWN':
    case 'NOMASTERLINK':
      return unreachable(server, `it is not ready: ${reply.message}`, { cause: reply, disposition: 'retry' });
    default:
      return unreachable(server, `it answers ${JSON.stringify(reply.message.slice(0, 200))}`, { cause: reply });
  }
}

function permissionHint(user: string, message: string): string {
  const rules = /cluster/i.test(message) ? `${RECORDER_RULES} +cluster|nodes` : RECORDER_RULES;
  const grant = `Grant what a recorder needs: ACL SETUSER ${user} ${rules}, and ACL SAVE or the same in the server’s own ACL file.`;
  if (!/psync|replconf/i.test(message)) return grant;
  return `${grant} Where the service permits no replicas, source: scan takes bases without a log.`;
}

/** The server does not know the command. */
export function isUnknownCommand({ message }: ErrorReply): boolean {
  return /unknown command/i.test(message);
}

/** Whether the server will be ready by itself. */
export function isNotReady(error: unknown): boolean {
  return error instanceof TidemarkError && error.code === 'STORE_UNREACHABLE' && error.disposition === 'retry';
}

export function positionLost(why: string, cause?: unknown): TidemarkError {
  return new TidemarkError('POSITION_LOST', `the log can’t be followed on: ${why}`, { disposition: 'resync', cause });
}
