/** A reporter of node:test that writes the counts of the whole run as JSON, for scripts/test.ts to add up. */
import type { TestEvent } from 'node:test/reporters';

export type TestCounts = {
  readonly tests: number;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
};

export default async function* countTests(source: AsyncIterable<TestEvent>): AsyncGenerator<string, void> {
  for await (const event of source) {
    if (event.type !== 'test:summary' || event.data.file !== undefined) continue;
    const { tests, passed, skipped, todo } = event.data.counts;
    const left = skipped + todo;
    yield JSON.stringify({ tests, passed, failed: tests - passed - left, skipped: left } satisfies TestCounts);
  }
}
