import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { createPrompter } from './prompt.ts';
import type { Prompter, TerminalInput } from './prompt.ts';

/** A terminal whose user types these chunks as soon as somebody listens. */
function typing(...chunks: readonly string[]): {
  readonly prompter: Prompter;
  shown(): string;
  readonly modes: boolean[];
  readonly input: EventEmitter;
} {
  const input = new EventEmitter();
  const modes: boolean[] = [];
  let shown = '';
  const terminal: TerminalInput = Object.assign(input, {
    isTTY: true,
    setRawMode: (raw: boolean) => modes.push(raw),
    pause: () => undefined,
    resume: () => {
      for (const chunk of chunks) input.emit('data', Buffer.from(chunk));
    },
  });
  const prompter = createPrompter(terminal, {
    isTerminal: true,
    write: (text) => {
      shown += Buffer.from(text).toString();
    },
  });
  return { prompter, shown: () => shown, modes, input };
}

const run = { signal: new AbortController().signal };

test('what is typed is hidden, can be corrected, and is taken at Enter', async () => {
  const { prompter, shown, modes } = typing('gehe', 'ü\u007f', 'im', '\u0008n', '\r');
  assert.equal(await prompter.hidden('Passphrase: ', run), 'gehein');
  assert.equal(shown().replaceAll(/[\b ]/g, ''), 'Passphrase:\n');
  assert.deepEqual(modes, [true, false]);
});

test('the terminal has stopped to show what is typed before the question is there', async () => {
  const events: string[] = [];
  const input = Object.assign(new EventEmitter(), {
    isTTY: true,
    setRawMode: (raw: boolean) => events.push(raw ? 'raw' : 'as before'),
    pause: () => undefined,
    resume: () => input.emit('data', Buffer.from('x\r')),
  });
  const output = { isTerminal: true, write: (text: string | Uint8Array) => events.push(Buffer.from(text).toString()) };
  await createPrompter(input, output).hidden('Passphrase: ', run);
  assert.deepEqual(events, ['raw', 'Passphrase: ', 'as before', '\n']);
});

test('a line can be erased, and keys that are not text add nothing', async () => {
  const { prompter } = typing('wrong\u0015', '\u001b[A', '\u0001', 'right\n');
  assert.equal(await prompter.hidden('? ', run), 'right');
});

test('only yes is yes', async () => {
  for (const [typed, answer] of [
    ['y\r', true],
    ['YES\r', true],
    ['\r', false],
    ['n\r', false],
    ['yes please\r', false],
  ] as const) {
    assert.equal(await typing(typed).prompter.confirm('Restore?', run), answer, typed);
  }
  const { prompter, shown } = typing('y\r');
  await prompter.confirm('Restore?', run);
  assert.equal(shown(), 'Restore? [y/N] y\n');
});

test('Ctrl-C, the end of the input and an abort end the question, and the terminal is as before', async () => {
  for (const key of ['\u0003', '\u0004']) {
    const { prompter, modes } = typing(`half${key}`);
    await assert.rejects(prompter.hidden('? ', run), { code: 'INTERRUPTED', message: 'interrupted', hint: '' });
    assert.deepEqual(modes, [true, false]);
  }
  const ended = typing();
  const question = ended.prompter.hidden('? ', run);
  ended.input.emit('end');
  await assert.rejects(question, { code: 'INTERRUPTED', message: 'interrupted', hint: '' });
  const stop = new AbortController();
  const aborted = typing();
  const answer = aborted.prompter.hidden('? ', { signal: stop.signal });
  stop.abort(new Error('enough'));
  await assert.rejects(answer, { message: 'enough' });
  assert.equal(aborted.input.listenerCount('data'), 0);
});

test('without a terminal there is nobody to ask', () => {
  const output = { isTerminal: true, write: () => undefined };
  assert.equal(
    createPrompter(Object.assign(new EventEmitter(), { pause: () => 0, resume: () => 0 }), output).available,
    false,
  );
});
