import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { writeResultLine } from './json-result.ts';
import { OutputClosedError, OutputStream } from './output-stream.ts';

function collecting(): { readonly output: OutputStream; text(): string } {
  let text = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      setImmediate(done);
    },
  });
  return { output: new OutputStream(stream), text: () => text };
}

const parts = { command: 'ls', durationMs: () => 12, warnings: ['careful'] };

async function* batches(...items: readonly (readonly unknown[] | Error)[]): AsyncGenerator<readonly unknown[]> {
  for (const item of items) {
    if (item instanceof Error) throw item;
    yield item;
  }
}

test('a result is one line of JSON, with what is streamed as a list', async () => {
  const { output, text } = collecting();
  await writeResultLine(output, {
    ...parts,
    result: { store: 'a', entries: batches([1, 2], [], [3]), none: undefined },
  });
  await output.finish();
  assert.equal(
    text(),
    '{"type":"result","command":"ls","store":"a","entries":[1,2,3],"durationMs":12,"warnings":["careful"]}\n',
  );
});

test('a list that fails half-way leaves a whole line that says so, and the error goes on', async () => {
  const { output, text } = collecting();
  const result = { entries: batches([1], new Error('gone')) };
  await assert.rejects(writeResultLine(output, { ...parts, result }), { message: 'gone' });
  await output.finish();
  assert.deepEqual(JSON.parse(text()), {
    type: 'result',
    command: 'ls',
    entries: [1],
    complete: false,
    durationMs: 12,
    warnings: ['careful'],
  });
});

test('when the reader has gone, waiting says so and writing is silent', async () => {
  const stream = new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error('pipe'), { code: 'EPIPE' })),
  });
  const output = new OutputStream(stream);
  output.write('a');
  await output.finish();
  output.write('b');
  await assert.rejects(output.drained(), OutputClosedError);
  await output.finish();
});

test('output that can’t be written is a failure', async () => {
  const stream = new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error('no space'), { code: 'ENOSPC' })),
  });
  const output = new OutputStream(stream);
  output.write('a');
  await assert.rejects(output.finish(), { code: 'FAILED', message: 'the output can’t be written: no space' });
});
