import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Inbox } from './inbox.ts';

function read(inbox: Inbox, bytes: Uint8Array): void {
  inbox.room().set(bytes);
  inbox.filled(bytes.byteLength);
}

/** Fills slabs until one is given out for the second time, and says whether that happened within so many. */
function isReused(inbox: Inbox, slab: ArrayBufferLike, slabs: number): boolean {
  const seen = new Set<ArrayBufferLike>();
  while (seen.size < slabs) {
    const room = inbox.room();
    if (room.buffer === slab) return true;
    seen.add(room.buffer);
    inbox.filled(room.byteLength);
  }
  return false;
}

suite('an inbox', () => {
  test('gives what came in several reads as one piece, and nothing twice', () => {
    const inbox = new Inbox();
    read(inbox, Buffer.from('one '));
    read(inbox, Buffer.from('two'));
    assert.equal(inbox.sizeBytes, 7);
    assert.deepEqual(inbox.take().map(String), ['one two']);
    assert.equal(inbox.sizeBytes, 0);
    assert.deepEqual(inbox.take(), []);
    read(inbox, Buffer.from('three'));
    assert.deepEqual(inbox.take().map(String), ['three']);
  });

  test('has what was put back before what comes', () => {
    const inbox = new Inbox();
    read(inbox, Buffer.from('one two'));
    const [piece] = inbox.take();
    inbox.putBack(piece?.subarray(3) ?? Buffer.alloc(0));
    read(inbox, Buffer.from('!'));
    assert.equal(Buffer.concat(inbox.take()).toString(), ' two!');
  });

  test('uses a slab again once its end was given back, and not before', () => {
    const inbox = new Inbox();
    const room = inbox.room();
    inbox.filled(room.byteLength - 10);
    const [first] = inbox.take();
    assert.ok(first);
    inbox.giveBack(first);
    assert.equal(isReused(inbox, room.buffer, 3), false, 'it was not full');
    const rest = inbox.take();
    for (const piece of rest) inbox.giveBack(piece);
    assert.equal(isReused(inbox, rest[0]?.buffer ?? first.buffer, 3), true);
  });

  test('takes what comes in pieces of its own', () => {
    const inbox = new Inbox();
    const bytes = Buffer.alloc(1_000_000, 'abc');
    inbox.put(bytes);
    assert.ok(Buffer.concat(inbox.take()).equals(bytes));
  });
});
