import { askAgent } from '../agent/socket-client.ts';
import type { AgentRequest } from '../agent/request.ts';
import { up } from '../agent/up.ts';
import { OpenApplication } from '../app/application.ts';
import type { AppContext } from '../app/application.ts';
import type { LiveStatus, MarkTakenResult } from '../app/results.ts';
import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';

/** `tidemark up`, and what other commands ask of it through its socket. */
export class RunningUp implements AsyncDisposable {
  readonly #application: OpenApplication;
  readonly #run: Run;
  readonly #death = new AbortController();
  readonly #ended: Promise<unknown>;
  readonly #news: string[] = [];
  #failure: Error | undefined;

  private constructor(application: OpenApplication, run: Run) {
    this.#application = application;
    this.#run = run;
    const running: Run = { signal: AbortSignal.any([run.signal, this.#death.signal]) };
    const onNews = (message: string): unknown => this.#news.push(message);
    this.#ended = up(application, { onNews, abortStop: this.#death.signal }, running).catch((error: unknown) => {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    });
  }

  static async start(context: AppContext, run: Run): Promise<RunningUp> {
    return new RunningUp(await OpenApplication.open(context, run), run);
  }

  /** What it has told since the last call. */
  takeNews(): readonly string[] {
    return this.#news.splice(0);
  }

  /** Undefined as long as it does not listen yet. @throws what it failed with */
  async status(): Promise<LiveStatus | undefined> {
    if (this.#failure !== undefined) throw this.#failure;
    const answer = await this.#ask({ command: 'status' });
    return answer as LiveStatus | undefined; // what this version's `up` answers
  }

  /** @throws as `tidemark mark` */
  async mark(options: { readonly name: string; readonly sealed: boolean }): Promise<MarkTakenResult> {
    const answer = await this.#ask({ command: 'mark', tags: [], ...options });
    if (answer === undefined) throw new TidemarkError('FAILED', '`up` does not run any more');
    return answer as unknown as MarkTakenResult; // what this version's `up` answers
  }

  /** Ends it without letting it finish anything, as the loss of a machine does. */
  async die(): Promise<void> {
    this.#death.abort(new TidemarkError('INTERRUPTED', 'the machine is lost'));
    await this.#ended;
    await this.#application[Symbol.asyncDispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.die();
  }

  async #ask(request: AgentRequest): Promise<object | undefined> {
    const onNews = (): void => undefined;
    return await askAgent(this.#application.stateFolder, request, { onNews }, this.#run);
  }
}
