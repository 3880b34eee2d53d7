/** For those who write a connector or an object store: the suites that prove one, and what tests need in place of the real. */
export { createVirtualClock } from '../flow/virtual-clock.ts';
export type { VirtualClock } from '../flow/virtual-clock.ts';
export { countingStore } from '../objects/wrappers/counting.ts';
export type { CountingStore, StoreCounts } from '../objects/wrappers/counting.ts';
export { deathAt, faultAt, faultyStore, lastingFault, passingFault } from '../objects/wrappers/faulty.ts';
export type { Fault, FaultPlan, FaultyStore, StoreCall, StoreCallName } from '../objects/wrappers/faulty.ts';
export { MemoryObjectStore } from './memory-object-store.ts';
export type { MemoryObjectStoreOptions, MemorySnapshot } from './memory-object-store.ts';
export { objectStoreChecks, registerObjectStoreSuite, runObjectStoreCheck } from './object-store-suite.ts';
export type { CheckContext, ObjectStoreCheck, ObjectStoreFixture, ObjectStoreSuite } from './object-store-suite.ts';
export { observationChecks, registerObservationSuite, runObservationCheck } from './observation-suite.ts';
export type {
  ObservationCheck,
  ObservationCheckContext,
  ObservationFixture,
  ObservationSuite,
} from './observation-suite.ts';
export { recorderChecks, registerRecorderSuite, runRecorderCheck } from './recorder-suite.ts';
export type {
  RecorderCheck,
  RecorderCheckContext,
  RecorderFixture,
  RecorderSuite,
  RecorderTraits,
} from './recorder-suite.ts';
export { registerSinkSuite, runSinkCheck, sinkChecks } from './sink-suite.ts';
export type { SinkCheck, SinkCheckContext, SinkFixture, SinkSuite } from './sink-suite.ts';
export { registerSourceSuite, runSourceCheck, sourceChecks } from './source-suite.ts';
export type {
  SourceCheck,
  SourceCheckContext,
  SourceFixture,
  SourceSuite,
  SourceTraits,
  Write,
} from './source-suite.ts';
