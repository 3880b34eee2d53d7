import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { createLogger } from './logger.ts';
import { OutputStream } from './output-stream.ts';
import { createPrinter } from './printer.ts';
import type { Printer } from './printer.ts';
import { createTerminalLine } from './terminal-line.ts';

function collecting(isTTY: boolean): { readonly stream: OutputStream; text(): string } {
  let text = '';
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      text += chunk;
      done();
    },
  });
  return { stream: new OutputStream(Object.assign(stream, { isTTY })), text: () => text };
}

function printed(colours: boolean, print: (printer: Printer) => void): string {
  const { stream, text } = collecting(false);
  print(createPrinter({ stream, colours, unicode: true, zone: 'Europe/Berlin' }));
  return text();
}

test('a table is as wide as its cells, numbers stand right, and colours take no room', () => {
  const rows = (printer: Printer): void =>
    printer.table(
      [{ title: 'store' }, { title: 'size', align: 'right' }, { title: 'state' }],
      [
        ['a', '5 B', printer.paint('green', 'complete')],
        ['uploads', '12 MiB', ''],
      ],
    );
  assert.equal(printed(false, rows), 'store      size  state\na           5 B  complete\nuploads  12 MiB\n');
  const coloured = printed(true, rows);
  assert.match(coloured, /\u001b\[32mcomplete/);
  assert.equal(coloured.replaceAll(/\u001b\[\d+m/g, ''), printed(false, rows));
});

test('times are shown in the zone', () => {
  assert.equal(
    printed(false, (printer) => printer.line(printer.time('2026-07-01T12:00:00.000Z'))),
    '2026-07-01 14:00:00\n',
  );
});

test('a message goes above the line that is written over, which is only on a terminal', () => {
  const terminal = collecting(true);
  const line = createTerminalLine(terminal.stream);
  line.show('10%');
  line.message('warning');
  line.show('20%');
  line.clear();
  line.clear();
  assert.equal(terminal.text(), '\r\u001b[K10%\r\u001b[Kwarning\n10%\r\u001b[K20%\r\u001b[K');
  const pipe = collecting(false);
  createTerminalLine(pipe.stream).show('10%');
  assert.equal(pipe.text(), '');
});

test('the log has a line for each message from its level on, and no message can forge another', () => {
  const lines: string[] = [];
  const parts = { nowMs: () => 0, write: (line: string) => lines.push(line) };
  const logger = createLogger({ ...parts, level: 'warn', json: false });
  logger.log('info', 'too quiet');
  logger.log('warn', 'left out\nx', { store: 'a b', bytes: 5, big: 5n, cause: new Error('no "way"'), path: '/a/b' });
  assert.deepEqual(lines, [
    '1970-01-01T00:00:00.000Z warn left out\\x0ax store="a b" bytes=5 big=5 cause="no \\"way\\"" path=/a/b',
  ]);
  createLogger({ ...parts, level: 'debug', json: true }).log('debug', 'm', { big: 5n });
  assert.deepEqual(JSON.parse(lines[1] ?? ''), {
    type: 'log',
    at: '1970-01-01T00:00:00.000Z',
    level: 'debug',
    message: 'm',
    big: '5',
  });
});
