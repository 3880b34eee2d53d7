import { OpenApplication } from '../app/application.ts';
import type { AppContext } from '../app/application.ts';
import { initRepository } from '../app/init.ts';
import { openReader } from '../app/look.ts';
import type { RepositoryReader } from '../app/look.ts';
import { carryOut, prepareRestore, previewRestore } from '../app/restore.ts';
import { undoRestore } from '../app/restore-aside.ts';
import type { RestoreRequest } from '../app/restore-plan.ts';
import type {
  MarkResult,
  PlanResult,
  RestoreResult,
  RestoreUndoResult,
  StatsResult,
  TimelineResult,
  VerifyResult,
} from '../app/results.ts';
import { repositoryStats } from '../app/stats.ts';
import { timeline } from '../app/timeline.ts';
import { verify } from '../app/verify.ts';
import { must } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import { Secret } from '../io/secret.ts';

export type Target = { readonly to: string; readonly into?: string | undefined };

export type Restored = RestoreResult & { readonly mark: MarkResult };

/** Does what an operator would type, by the same code as the commands. */
export class Operator {
  readonly #context: AppContext;
  readonly #run: Run;

  constructor(context: AppContext, run: Run) {
    this.#context = context;
    this.#run = run;
  }

  async init(passphrase: string): Promise<void> {
    await initRepository(this.#context, { firstPassphrase: async () => new Secret(passphrase) }, this.#run);
  }

  timeline(): Promise<TimelineResult> {
    return this.#reading(async (application, reader) => timeline(application, reader, { stores: [] }));
  }

  plan(target: Target): Promise<PlanResult> {
    return this.#reading((application, reader) =>
      previewRestore(application, reader, restoreRequest(target), this.#run),
    );
  }

  restore(target: Target): Promise<Restored> {
    return this.#reading(async (application, reader) => {
      const plan = await prepareRestore(application, reader, restoreRequest(target), this.#run);
      const result = await carryOut(application, reader, plan, this.#run);
      return { ...result, mark: must(result.mark, 'the mark that is restored to') };
    });
  }

  undo(): Promise<RestoreUndoResult> {
    return this.#opened((application) => undoRestore(application, [], this.#run));
  }

  /** Every byte. */
  verify(): Promise<VerifyResult> {
    return this.#opened((application) => verify(application, { share: 1 }, this.#run));
  }

  stats(): Promise<StatsResult> {
    return this.#reading((application, reader) => repositoryStats(application, reader, this.#run));
  }

  async #opened<T>(work: (application: OpenApplication) => Promise<T>): Promise<T> {
    await using application = await OpenApplication.open(this.#context, this.#run);
    return await work(application);
  }

  #reading<T>(work: (application: OpenApplication, reader: RepositoryReader) => Promise<T>): Promise<T> {
    return this.#opened(async (application) => {
      await using reader = await openReader(application, {}, this.#run);
      return await work(application, reader);
    });
  }
}

function restoreRequest({ to, into }: Target): RestoreRequest {
  return {
    target: to,
    stores: [],
    into: into === undefined ? [] : [into],
    only: [],
    replace: [],
    skipDamaged: false,
    perStore: false,
  };
}
