/** For those who write a connector or an object store: the suites that prove one, and what tests need in place of the real. */
export { MemoryObjectStore } from './memory-object-store.ts';
export type { MemoryObjectStoreOptions, MemorySnapshot } from './memory-object-store.ts';
export { objectStoreChecks, registerObjectStoreSuite, runObjectStoreCheck } from './object-store-suite.ts';
export type { ObjectStoreSuite } from './object-store-suite.ts';
