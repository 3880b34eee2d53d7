import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PageCache } from './page-cache.ts';
import type { PageOwner } from './page-cache.ts';

/**
 * Each page begins with the run's serial and the page's number, and says it has one record; `damaged` pages are
 * garbage.
 */
function ownerOf(serial: number, damaged: ReadonlySet<number> = new Set()): PageOwner & { reads: number } {
  return {
    serial,
    reads: 0,
    readPage(page, into) {
      this.reads += 1;
      into.writeUInt32LE(serial, 0);
      into.writeUInt32LE(page, 4);
      return damaged.has(page) ? -1 : 1;
    },
  };
}

function assertLoaded(cache: PageCache, owner: PageOwner, page: number): void {
  assert.equal(cache.load(owner, page), 1);
  assert.equal(cache.view.getUint32(cache.offset, true), owner.serial);
  assert.equal(cache.view.getUint32(cache.offset + 4, true), page);
}

test('pages of many runs that share a place are never taken for one another', () => {
  const cache = new PageCache();
  const owners = [1, 2, 3].map((serial) => ownerOf(serial));
  for (const page of [0, 1, 4096, 677, 4773, 8192, 1354]) {
    for (const owner of owners) {
      assertLoaded(cache, owner, page);
      assertLoaded(cache, owner, page);
    }
  }
});

test('what is in the cache is not read again', () => {
  const cache = new PageCache();
  const owner = ownerOf(1);
  for (let round = 0; round < 3; round += 1) {
    for (let page = 0; page < 1000; page += 1) assertLoaded(cache, owner, page);
  }
  assert.equal(owner.reads, 1000);
});

test('a damaged page takes the place of the one that was there', () => {
  const cache = new PageCache();
  const whole = ownerOf(1);
  const broken = ownerOf(2, new Set([0]));
  assertLoaded(cache, whole, 677);
  assert.equal(cache.load(broken, 0), -1);
  assertLoaded(cache, whole, 677);
  assert.equal(whole.reads, 2);
  assert.equal(cache.load(broken, 0), -1);
});
