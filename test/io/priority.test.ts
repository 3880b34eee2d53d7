import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

const SCRIPT = `
  const { readdirSync, readFileSync } = await import('node:fs');
  const { yieldToOthers } = await import(process.argv[1]);
  await import('node:fs/promises').then((fs) => fs.stat('/'));
  const niceness = () => readdirSync('/proc/self/task').map((thread) => {
    const fields = readFileSync('/proc/self/task/' + thread + '/stat', 'utf8').split(') ')[1].split(' ');
    return Number(fields[16]);
  });
  const before = niceness();
  yieldToOthers();
  yieldToOthers();
  process.stdout.write(JSON.stringify([before, niceness()]));
`;

test('every thread of a process gives way to others', () => {
  const module = new URL('../../src/io/native-priority.ts', import.meta.url).href;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', SCRIPT, module], { encoding: 'utf8' });
  const [before, after] = JSON.parse(output) as [number[], number[]];
  assert.ok(before.length > 1);
  assert.ok(before.some((value) => value !== 19));
  assert.deepEqual([...new Set(after)], [19]);
});
