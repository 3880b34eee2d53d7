import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { giveBackFreedMemory, keepFreedMemory } from './native-memory.ts';
import { bootTimeMs, checked, createStringPlace, libc, nativeAvailable, pathText, systemError } from './native.ts';

test('native calls are available on the platform that is supported', () => {
  assert.equal(nativeAvailable(), process.platform === 'linux');
});

test('the boot time goes forward and is never behind the clock that stops during suspend', () => {
  const before = bootTimeMs();
  const monotonicMs = Number(process.hrtime.bigint()) / 1e6;
  const after = bootTimeMs();
  assert.ok(before <= after);
  assert.ok(after >= monotonicMs - 1, `${after} < ${monotonicMs}`);
});

test('what the C library lacks is not there, and hinders nothing else', () => {
  keepFreedMemory();
  giveBackFreedMemory();
  const { mallopt } = libc();
  if (mallopt !== undefined) assert.equal(mallopt(-1, 128 * 1024 * 1024), 1);
  assert.ok(bootTimeMs() > 0);
});

test('native calls work in a worker thread', async () => {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData).then(({ bootTimeMs }) => parentPort.postMessage(bootTimeMs()));
  `;
  const worker = new Worker(source, { eval: true, workerData: new URL('./native.ts', import.meta.url).href });
  const message: readonly unknown[] = await once(worker, 'message');
  const [inWorker] = message;
  await worker.terminate();
  assert.ok(typeof inWorker === 'number' && inWorker > 0 && inWorker <= bootTimeMs());
});

test('an error has the code, message and fields of those of Node', () => {
  const facts = { syscall: 'renameat2', path: Buffer.from('a'), dest: Buffer.from('b') };
  const error = systemError(17, facts);
  assert.equal(error.message, "EEXIST: file already exists, renameat2 'a' -> 'b'");
  const { code, errno, syscall, path, dest } = error;
  assert.deepEqual(
    { code, errno, syscall, path, dest },
    { code: 'EEXIST', errno: -17, syscall: 'renameat2', path: 'a', dest: 'b' },
  );
  assert.equal(systemError(95, { syscall: 'x' }).code, 'ENOTSUP');
  assert.ok(!('path' in systemError(95, { syscall: 'x' })));
});

test('a failed call becomes the error of its error number', () => {
  assert.throws(() => checked(libc().flock(-1, 6), { syscall: 'flock' }), {
    code: 'EBADF',
    errno: -9,
    syscall: 'flock',
  });
  assert.equal(checked(3, { syscall: 'x' }), 3);
});

test('a path that is not UTF-8 is shown with its bytes', () => {
  assert.equal(pathText(Buffer.from('Müll/x')), 'Müll/x');
  assert.equal(pathText(Buffer.from([0x61, 0xff, 0x2f, 0xfc])), 'a\\xff/\\xfc');
  assert.equal(pathText('a\xff/\xc3\xbc'), 'a\\xff/\\xc3\\xbc');
  assert.equal(pathText('M\xc3\xbcll'), 'Müll');
});

test('a string that a system call can’t take as it is is refused', () => {
  const place = createStringPlace();
  const call = { syscall: 'openat' };
  for (const ab of [Buffer.from('ab'), 'ab']) assert.equal(pathText(place.put(ab, call).subarray(0, 3)), 'ab\0');
  assert.equal(pathText(place.put('a\xff', call).subarray(0, 2)), 'a\\xff');
  assert.equal(place.put(Buffer.alloc(4095, 'x'), call)[4095], 0);
  assert.throws(() => place.put(Buffer.alloc(4096, 'x'), call), { code: 'ENAMETOOLONG' });
  assert.throws(() => place.put(Buffer.from('a\0b'), call), { code: 'EINVAL' });
  assert.throws(() => place.put('a\0b', call), { code: 'EINVAL' });
});
