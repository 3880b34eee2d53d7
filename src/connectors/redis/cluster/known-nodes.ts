import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RandomBytes, Run } from '../../../core/run.ts';
import { replaceFile } from '../../../io/atomic-file.ts';
import type { Address } from '../place.ts';
import type { ClusterMaster } from './open-cluster.ts';

const FILE = 'cluster-nodes.json';
const MOST_NODES = 1_000;

/** The masters that were last seen, in the state folder of a history: asked for the others where the node of the URL is away. */
export class KnownNodes {
  readonly #path: string | undefined;
  readonly #random: RandomBytes;
  #addresses: readonly Address[] = [];

  constructor(stateFolder: string | undefined, random: RandomBytes) {
    this.#path = stateFolder && join(stateFolder, FILE);
    this.#random = random;
  }

  /** None where nothing can be read: it is a help only. */
  async read(): Promise<readonly Address[]> {
    if (this.#addresses.length > 0 || this.#path === undefined) return this.#addresses;
    try {
      const found: unknown = JSON.parse(await readFile(this.#path, 'utf8'));
      return Array.isArray(found) ? found.filter(isAddress).slice(0, MOST_NODES) : [];
    } catch {
      return [];
    }
  }

  /** @throws FAILED, DISK_FULL */
  async write(masters: readonly ClusterMaster[], run: Run): Promise<void> {
    this.#addresses = masters.map(({ client: { server } }) => ({ host: server.host, port: server.port }));
    if (this.#path === undefined) return;
    const bytes = Buffer.from(JSON.stringify(this.#addresses));
    await replaceFile(this.#path, [bytes], { mode: 0o600, random: this.#random }, run);
  }
}

function isAddress(found: unknown): found is Address {
  if (typeof found !== 'object' || found === null || !('host' in found) || !('port' in found)) return false;
  return typeof found.host === 'string' && typeof found.port === 'number';
}
