import type { OutputStream } from './output-stream.ts';

/**
 * Writes a result as one line of JSON. A field that is streamed is written batch by batch as a list, so the line may be longer than
 * memory. When its source fails, the line is closed with `"complete": false` and the error is thrown, to be the next line.
 */
export async function writeResultLine(
  output: OutputStream,
  {
    command,
    result,
    durationMs,
    warnings,
  }: {
    readonly command: string;
    readonly result: object;
    readonly durationMs: () => number;
    readonly warnings: readonly string[];
  },
): Promise<void> {
  output.write(`{"type":"result","command":${JSON.stringify(command)}`);
  let failure: { readonly error: unknown } | undefined;
  for (const [name, value] of Object.entries(result)) {
    if (isStream(value)) failure ??= await writeList(output, name, value);
    else if (value !== undefined) output.write(`,${JSON.stringify(name)}:${JSON.stringify(value)}`);
  }
  if (failure !== undefined) output.write(',"complete":false');
  output.write(`,"durationMs":${durationMs()},"warnings":${JSON.stringify(warnings)}}\n`);
  if (failure !== undefined) throw failure.error;
}

async function writeList(
  output: OutputStream,
  name: string,
  batches: AsyncIterable<readonly unknown[]>,
): Promise<{ readonly error: unknown } | undefined> {
  output.write(`,${JSON.stringify(name)}:[`);
  let first = true;
  try {
    for await (const batch of batches) {
      for (const item of batch) {
        output.write(`${first ? '' : ','}${JSON.stringify(item)}`);
        first = false;
      }
      await output.drained();
    }
    return undefined;
  } catch (error) {
    return { error };
  } finally {
    output.write(']');
  }
}

function isStream(value: unknown): value is AsyncIterable<readonly unknown[]> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}
