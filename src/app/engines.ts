import type { RepositoryAccess } from '../repository/access.ts';
import type { Extractor } from '../repository/base-reader.ts';
import { extractOnWorkers } from '../repository/extract/on-workers.ts';
import type { ChunkSizes, CutKeys, PipelineEngine } from '../repository/pipeline/engine.ts';
import { createInPlaceEngine } from '../repository/pipeline/in-place-engine.ts';
import { createWorkerEngine } from '../repository/pipeline/worker-engine.ts';
import { checkOnWorkers } from '../repository/verify/check-on-workers.ts';
import type { PackChecker } from '../repository/verify/pack-check.ts';

export type EngineSetup = { readonly keys: CutKeys; readonly sizes: ChunkSizes };

/** Who does the heavy work of backups, restores and verification. */
export interface Engines {
  openEngine(setup: EngineSetup): Promise<PipelineEngine>;
  /** Reads again what changed, while the other engine is busy. */
  openRetryEngine(setup: EngineSetup): Promise<PipelineEngine>;
  openChecker(access: RepositoryAccess): Promise<PackChecker>;
  readonly extract: Extractor;
  /** Packs of a base on their way at once. */
  readonly uploads: number;
}

const WORKERS = 2;
const MOST_UPLOADS = 2;

/** Engines on threads of their own: `workers` of them, or two. */
export function workerEngines(workers: number | undefined): Engines {
  return {
    openEngine: async (setup) => createWorkerEngine({ ...setup, workers }),
    openRetryEngine: async (setup) => createInPlaceEngine(setup),
    openChecker: async (access) => checkOnWorkers(access, workers ?? WORKERS),
    extract: extractOnWorkers(workers ?? WORKERS),
    uploads: Math.min(workers ?? WORKERS, MOST_UPLOADS),
  };
}
