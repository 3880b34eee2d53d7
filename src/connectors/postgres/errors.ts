import { DOCTOR_CLAUSE } from '../../core/error-codes.ts';
import { operatorError, systemCode, TidemarkError } from '../../core/errors.ts';
import type { ErrorDetails } from '../../core/errors.ts';
import { BugError } from '../../core/must.ts';

/** The server's own code of an error, five characters, or undefined for what it did not say. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || error instanceof TidemarkError) return undefined;
  const code: unknown = 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && 'severity' in error ? code : undefined;
}

export const SqlState = {
  slotInUse: '55006',
  noSuchObject: '42704',
  fileGone: '58P01',
  notPrepared: '55000',
  dataCorrupted: 'XX001',
  duplicateObject: '42710',
} as const;

const LOOK_AT_IT = `Check that it runs, that this host may connect to it, and that the URL names it${DOCTOR_CLAUSE}.`;

/** The server can't be used now; the same may work later. */
export function unreachable(message: string, { hint = LOOK_AT_IT, ...details }: ErrorDetails = {}): TidemarkError {
  return new TidemarkError('STORE_UNREACHABLE', message, { disposition: 'retry', hint, ...details });
}

/** The log can't be followed on from where it was. */
export function positionLost(message: string, details: ErrorDetails = {}): TidemarkError {
  return new TidemarkError('POSITION_LOST', message, { disposition: 'resync', ...details });
}

const REFUSED_LOGIN =
  'Check the user, the source of its password, and pg_hba.conf: it needs a line for the database, and one for replication.';
const PRIVILEGES = 'Grant them: ALTER ROLE … REPLICATION, and GRANT pg_monitor TO ….';

const REFUSALS: Readonly<Record<string, string>> = {
  '28P01': REFUSED_LOGIN,
  '28000': REFUSED_LOGIN,
  '3D000': 'Name a database that is there; postgres always is.',
  '42501': PRIVILEGES,
  '53300': 'Raise max_wal_senders or max_connections, or end what holds them.',
  '57P03': 'Wait until it has started.',
};

const CERTIFICATE_CODE = /^(?:ERR_TLS_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_SSL_|HOSTNAME_MISMATCH|ERR_OSSL_)/;

/** What pg, the socket or the server said about a server, as an operator can read it. */
export function serverError(server: string, error: unknown): TidemarkError {
  if (error instanceof TidemarkError) return error;
  // A fault of ours is told as one.
  if (error instanceof BugError || error instanceof TypeError || error instanceof RangeError) throw error;
  const state = sqlState(error);
  const told = error instanceof Error ? error.message : String(error);
  if (state !== undefined) {
    return unreachable(`${server} refuses: ${told}`, { cause: error, hint: REFUSALS[state] });
  }
  const code = systemCode(error);
  if (code !== undefined && CERTIFICATE_CODE.test(code)) {
    return unreachable(`${server} can’t prove who it is: ${told}`, {
      cause: error,
      disposition: 'stop',
      hint: 'Name the authority of its certificate as caFile, and the server as its certificate does.',
    });
  }
  if (code === 'ECONNREFUSED') return unreachable(`${server}: nothing listens there`, { cause: error });
  if (code === 'ENOENT') return unreachable(`${server}: there is no such socket`, { cause: error });
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return unreachable(`${server}: its name is not known`, { cause: error });
  }
  const known = code === undefined ? undefined : operatorError(error, server);
  if (known?.code === 'DISK_FULL') return known;
  return unreachable(`${server}: ${told}`, { cause: error });
}
