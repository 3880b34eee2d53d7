/** The library: the contracts that connectors and object stores implement, and the errors that everything throws. */
export type { Connector, ListedEntry, RecorderContext, RestorePreview, RestorerContext } from './core/connector.ts';
export { errorCodes } from './core/error-codes.ts';
export type { ErrorCode } from './core/error-codes.ts';
export { isTidemarkError, TidemarkError } from './core/errors.ts';
export type { Disposition, ErrorDetails, InputPlace } from './core/errors.ts';
export type { Finding } from './core/finding.ts';
export { comparePositions, orderOf } from './core/position.ts';
export type { Exactness, Lineage, Position } from './core/position.ts';
export type * from './core/recorder.ts';
export type * from './core/restorer.ts';
export type { Clock, Logger, LogLevel, RandomBytes, Run, Runtime } from './core/run.ts';
export type { ObjectInfo, ObjectStore, ObjectStoreCapabilities } from './objects/object-store.ts';
export { createObjectStore, openObjectStore } from './objects/registry.ts';
export type { NewObjectStoreContext, ObjectStoreContext } from './objects/registry.ts';
export { limitedStore } from './objects/wrappers/limited.ts';
export { readOnlyStore } from './objects/wrappers/read-only.ts';
export { retryingStore } from './objects/wrappers/retrying.ts';
export { throttledStore } from './objects/wrappers/throttled.ts';
