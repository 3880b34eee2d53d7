import { parentPort, workerData } from 'node:worker_threads';
import { must } from '../../core/must.ts';
import { packError } from './thread-error.ts';
import type { WorkerCall, WorkerReply } from './worker-call.ts';
import { createOperations } from './worker-operations.ts';
import type { Operation, OperationName, WorkerSetup } from './worker-operations.ts';

const port = must(parentPort, 'this file runs in a worker');
// Whoever starts a worker gives it this.
const setup = workerData as WorkerSetup;
const operations = createOperations(setup);

port.on('message', ({ id, name, request }: WorkerCall) => {
  const note = (value: unknown): void => port.postMessage({ id, kind: 'note', value } satisfies WorkerReply);
  try {
    const { value, transfer } = operationOf(name)(request, note);
    port.postMessage({ id, kind: 'result', value } satisfies WorkerReply, transfer);
  } catch (error) {
    port.postMessage({ id, kind: 'error', error: packError(error) } satisfies WorkerReply);
  }
});

function operationOf(name: OperationName): Operation<unknown, unknown, unknown> {
  // The pool's types tie each request to its operation.
  return operations[name] as Operation<unknown, unknown, unknown>;
}
