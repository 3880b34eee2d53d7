import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { systemCode, TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { Json } from '../repository/format/json.ts';
import { parseAnswer } from './request.ts';
import type { AgentRequest } from './request.ts';
import { socketPath } from './socket-path.ts';

/** What `up` answers. Undefined when none runs for this application on this host. @throws what it failed with; the signal's reason */
export async function askAgent(
  stateFolder: string,
  request: AgentRequest,
  options: { readonly onNews: (message: string) => void },
  run: Run,
): Promise<Readonly<Record<string, Json>> | undefined> {
  const socket = await connect(stateFolder);
  if (socket === undefined) return undefined;
  if (run.signal.aborted) socket.destroy();
  run.signal.throwIfAborted();
  const lines = createInterface({ input: socket });
  const onAbort = (): void => {
    // What is destroyed does not end by itself.
    lines.close();
    socket.destroy();
  };
  run.signal.addEventListener('abort', onAbort, { once: true });
  try {
    socket.write(`${JSON.stringify(request)}\n`);
    for await (const line of lines) {
      const answer = parseAnswer(line);
      if (answer.type === 'news') options.onNews(answer.message);
      if (answer.type === 'error') throw new TidemarkError(answer.code, answer.message, { hint: answer.hint });
      // An object, as `parseAnswer` has read it.
      if (answer.type === 'result') return answer.result as Readonly<Record<string, Json>>;
    }
    throw new TidemarkError('FAILED', '`up` ended before it answered');
  } catch (error) {
    run.signal.throwIfAborted();
    if (systemCode(error) === undefined) throw error;
    throw new TidemarkError('FAILED', '`up` ended before it answered', { cause: error });
  } finally {
    run.signal.removeEventListener('abort', onAbort);
    socket.destroy();
  }
}

async function connect(stateFolder: string): Promise<Socket | undefined> {
  await using place = await socketPath(stateFolder);
  return await new Promise((resolve, reject) => {
    const socket = createConnection(place.path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error) => {
      const isAbsent = ['ENOENT', 'ECONNREFUSED'].includes(systemCode(error) ?? '');
      if (isAbsent) resolve(undefined);
      else {
        reject(
          new TidemarkError('FAILED', `\`up\` can’t be reached at ${place.path}: ${error.message}`, { cause: error }),
        );
      }
    });
  });
}
