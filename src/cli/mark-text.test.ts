import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import type { MarkResult, SkippedResult } from '../app/results.ts';
import { markText, printSkipped } from './mark-text.ts';
import { OutputStream } from './output-stream.ts';
import { createPrinter } from './printer.ts';

function printed(item: SkippedResult): string {
  let text = '';
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      text += chunk;
      done();
    },
  });
  printSkipped(
    [item],
    1,
    createPrinter({ stream: new OutputStream(stream), colours: false, unicode: true, zone: 'UTC' }),
  );
  return text;
}

test('an entry that is in the base as it was read last is not said to be left out', () => {
  const message = 'it changed while it was read, 5 times: kept as it was read last';
  const line = printed({ name: 'big', reason: 'changed', incomplete: true, message });
  assert.equal(line, `  changed big: ${message}\n`);
});

test('a long path keeps both its ends and fits a few lines, and a name is not cut in two', () => {
  const name = `first/${'x/'.repeat(2000)}last`;
  const line = printed({ name, reason: 'unreadable', incomplete: true, message: 'this user has no permission' });
  assert.match(line, /^  unreadable first\/x.*… \d+ characters ….*x\/last: this user has no permission\n$/);
  assert.ok(line.length < 250, `${line.length}`);
  const short = printed({ name: 'a'.repeat(120), reason: 'special', incomplete: false, message: 'a socket' });
  assert.equal(short, `  skipped ${'a'.repeat(120)}: a socket\n`);
});

test('what a mark says of itself can’t move the cursor', () => {
  const mark: MarkResult = {
    id: 'id\u001b[2J',
    name: 'name\u001b[2J',
    at: '2026-11-20T14:05:00Z',
    class: 'clock',
    skewMs: 0,
    state: 'partial',
    partial: ['store\u001b[2J'],
    tags: [],
    pinned: false,
  };
  const text = markText(mark, { paint: (_style, painted) => painted, moment: (at) => at });
  assert.equal(text.includes('\u001b'), false);
});
