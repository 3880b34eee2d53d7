import type { Connector } from '../core/connector.ts';
import { BugError } from '../core/must.ts';

/** Loads the code of a kind of datastore; its client libraries come with it, so only what a manifest names is loaded. */
export async function loadConnector(kind: string): Promise<Connector<unknown>> {
  switch (kind) {
    case 'embedded':
      return (await import('./embedded/connector.ts')).embeddedConnector;
    case 'files':
      return (await import('./files/connector.ts')).filesConnector;
    case 'postgres':
      return (await import('./postgres/connector.ts')).postgresConnector;
    case 'redis':
      return (await import('./redis/connector.ts')).redisConnector;
    default:
      throw new BugError(`no connector for ${kind}, which the manifest's schema allowed`);
  }
}
