import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { readLogBytes } from '../../../core/log-bytes.ts';
import { must } from '../../../core/must.ts';
import type { LogPiece } from '../../../core/recorder.ts';
import type { Clock } from '../../../core/run.ts';
import { encodeCommand } from '../resp.ts';
import { ClusterLog } from './cluster-log.ts';
import type { ClusterState } from './cluster-log.ts';
import { FrameReader } from './frames.ts';
import { clusterPosition, vectorOf } from './positions.ts';
import { ShardStream } from './shard-stream.ts';
import type { StreamLink } from './shard-stream.ts';
import type { MoveWords } from './slot-moves.ts';

const run = { signal: new AbortController().signal };
/** No heartbeat is ever due: a master is asked only where the log has to know something. */
const clock: Clock = { nowMs: () => 0, monotonicMs: () => 0, sleep: async () => undefined };

const SET = encodeCommand(['SET', 'other', 'value']);
const DELETION = encodeCommand(['DEL', 'moved']);
const ARRIVAL = encodeCommand(['RESTORE-ASKING', 'moved', '0', 'dump', 'REPLACE']);

const [NODE, NAME] = ['b'.repeat(40), 'c'.repeat(40)];
const BEGUN = encodeCommand([
  'CLUSTER',
  'SYNCSLOTS',
  'ESTABLISH',
  'SOURCE',
  NODE,
  'NAME',
  NAME,
  'SLOTSRANGE',
  '0',
  '9',
]);
const ENDED = encodeCommand(['CLUSTER', 'SYNCSLOTS', 'FINISH', 'STATE', 'SUCCESS', 'NAME', NAME, 'MESSAGE', '']);
const GONE = encodeCommand(['UNLINK', 'moved']);

/** A master and the link from it: what it has written lies on its way until it arrives. */
class Shard {
  written = 0n;
  readonly link: StreamLink;
  #way: Buffer[] = [];
  #come: Buffer[] = [];
  #taken = 0n;

  constructor() {
    const taken = (): bigint => this.#taken;
    const come = (): number => this.#come.length;
    this.link = {
      server: { host: 'master', port: 1, password: async () => undefined },
      get offset() {
        return taken();
      },
      get hasMore() {
        return come() > 0;
      },
      take: () => {
        const chunks = this.#come;
        this.#come = [];
        for (const { byteLength } of chunks) this.#taken += BigInt(byteLength);
        return chunks;
      },
      arrivedWithin: async () => this.arrive(),
      acknowledge: () => undefined,
      async [Symbol.asyncDispose]() {},
    };
  }

  write(...pieces: readonly Uint8Array[]): void {
    for (const piece of pieces) {
      this.#way.push(Buffer.from(piece));
      this.written += BigInt(piece.byteLength);
    }
  }

  arrive(): void {
    this.#come.push(...this.#way);
    this.#way = [];
  }
}

type Counted = { readonly commit: readonly bigint[]; readonly text: string };

class World {
  readonly shards: readonly Shard[] = [new Shard(), new Shard()];
  readonly log: ClusterLog;
  /** What happens in the cluster when its masters are asked the next times, before they answer. */
  readonly meanwhile: (() => void)[] = [];
  state: Pick<ClusterState, 'isMoving' | 'importing'> = { isMoving: false, importing: [false, false] };
  asked = 0;

  constructor(moveWords?: MoveWords) {
    const placeAt = (offset: bigint) => ({ replId: 'a'.repeat(40), offset });
    const streams = this.shards.map(
      ({ link }, shard) => new ShardStream({ shard, link, from: 0n, placeAt, moveWords }),
    );
    const after = clusterPosition('lineage', 0n, [placeAt(0n), placeAt(0n)]);
    const ask = async (): Promise<ClusterState> => {
      this.asked += 1;
      this.meanwhile.shift()?.();
      const offsets = this.shards.map(({ written }) => written);
      return { offsets, holdings: '', unserved: undefined, ...this.state };
    };
    const [server] = this.shards.map(({ link }) => link.server);
    this.log = new ClusterLog(
      {
        streams,
        server: must(server, 'a master'),
        clock,
        after,
        nodeOf: (shard) => (shard === 0 ? NODE : undefined),
        ask,
      },
      run,
    );
  }

  get all(): readonly bigint[] {
    return this.shards.map(({ written }) => written);
  }

  /** The log up to a commit that has all that was written: what each commit counts, and the text of all that lies before it. */
  async counted(): Promise<readonly Counted[]> {
    const found: Counted[] = [];
    const reader = new FrameReader();
    let text = '';
    for await (const batch of this.log) {
      for (const piece of batch) {
        text += textOf(reader, piece);
        const commit = vectorOf(must(piece.commit, 'a commit').position).map(({ offset }) => offset);
        found.push({ commit, text });
      }
      const last = found.at(-1)?.commit ?? [];
      if (this.all.every((written, shard) => last[shard] === written)) return found;
    }
    return found;
  }
}

function textOf(reader: FrameReader, { changes }: LogPiece): string {
  const frames = changes.flatMap((change) => [...reader.push(readLogBytes(change).bytes)]);
  return frames.map(({ bytes }) => Buffer.from(bytes).toString()).join('');
}

/** Asked once, when nothing was moved yet. */
async function begun(
  moveWords?: MoveWords,
): Promise<{ readonly world: World; readonly source: Shard; readonly target: Shard }> {
  const world = new World(moveWords);
  const [source, target] = world.shards;
  const shards = { source: must(source, 'a source'), target: must(target, 'a target') };
  shards.source.write(SET);
  shards.source.arrive();
  await world.counted();
  assert.equal(world.asked, 1);
  return { world, ...shards };
}

/** The key is never nowhere: neither at a commit, nor where the log is done again in one server. */
function assertNeverGone(found: readonly Counted[], all: readonly bigint[]): void {
  const [deleted = 0n, arrived = 0n] = all;
  for (const { commit } of found) {
    const [source = 0n, target = 0n] = commit;
    assert.ok(
      source < deleted || target >= arrived,
      `a commit counts the deletion and not the arrival: ${commit.join()}`,
    );
  }
  const { text } = must(found.at(-1), 'a commit');
  assert.ok(text.lastIndexOf('RESTORE-ASKING') > text.lastIndexOf('DEL'), 'what arrived is not deleted again');
}

suite('the log of a cluster', () => {
  for (const [what, state] of Object.entries({
    'goes on': { isMoving: true, importing: [false, true] },
    'is over before anyone has asked': { isMoving: false, importing: [false, false] },
  })) {
    test(`counts no deletion of a key that has moved before its arrival, where the move ${what}`, async () => {
      const { world, source, target } = await begun();
      target.write(ARRIVAL);
      source.write(DELETION);
      source.arrive();
      world.state = state;
      assertNeverGone(await world.counted(), world.all);
    });
  }

  test('counts no deletion that came after the masters were asked about another one', async () => {
    const { world, source, target } = await begun();
    const deletion = encodeCommand(['DEL', 'another']);
    source.write(deletion.subarray(0, 9), deletion.subarray(9));
    source.arrive();
    let asked: readonly bigint[] = [];
    const take = source.link.take.bind(source.link);
    world.meanwhile.push(() => {
      asked = world.all;
      // Right after the answer.
      source.link.take = () => {
        source.link.take = take;
        target.write(ARRIVAL);
        source.write(DELETION);
        source.arrive();
        return take();
      };
    });
    const found = await world.counted();
    assert.deepEqual(found[0]?.commit, asked);
    assertNeverGone(found, world.all);
  });

  test('has a deletion at once where nothing moves, and asks but once for it', async () => {
    const { world, source } = await begun();
    source.write(DELETION);
    source.arrive();
    const found = await world.counted();
    assert.deepEqual(
      found.map(({ commit }) => commit),
      [world.all],
    );
    assert.equal(world.asked, 2);
  });
});

suite('the log of a cluster where slots move at once', () => {
  test('has what their source did before that ends, and counts no removal before that', async () => {
    const { world, source, target } = await begun('valkey');
    target.write(BEGUN.subarray(0, 50));
    target.arrive();
    await world.counted();
    assert.equal(world.log.isTakingSlots, false);
    target.write(BEGUN.subarray(50), SET, ENDED);
    const last = encodeCommand(['SET', 'moved', 'last']);
    source.write(last, GONE);
    source.arrive();
    const found = await world.counted();
    const { text } = must(found.at(-1), 'a commit');
    assert.ok(text.indexOf('last') < text.indexOf('FINISH'));
    for (const { commit } of found) {
      const [removed = 0n, ended = 0n] = commit;
      assert.ok(
        removed < source.written || ended >= target.written,
        `the removal is counted, not the end: ${commit.join()}`,
      );
    }
    assert.equal(world.log.isTakingSlots, false);
  });

  test('says that slots are on their way from where a shard says so until it has them, or has not', async () => {
    const { world, target } = await begun('valkey');
    target.write(BEGUN, SET);
    target.arrive();
    await world.counted();
    assert.equal(world.log.isTakingSlots, true);
    target.write(encodeCommand(['CLUSTER', 'SYNCSLOTS', 'FINISH', 'STATE', 'FAILED', 'NAME', NAME, 'MESSAGE', 'x']));
    target.arrive();
    await world.counted();
    assert.equal(world.log.isTakingSlots, false);
  });

  for (const [what, words] of Object.entries({
    'takes in': ['CLUSTER', 'SYNCSLOTS', 'CONF', 'ASM-TASK', 'x:y'],
    'gives away': ['TRIMSLOTS', 'RANGES', '1', '0', '9'],
  })) {
    test(`ends where a shard of Redis 8.4 ${what} slots at once`, async () => {
      const { world, target } = await begun('redis');
      const bytes = encodeCommand(words);
      target.write(bytes.subarray(0, 30), bytes.subarray(30));
      target.arrive();
      await assert.rejects(world.counted(), { code: 'POSITION_LOST' });
    });
  }

  test('ends where slots move to and fro at once, so that nothing tells what was first', async () => {
    const { world, source, target } = await begun('valkey');
    for (const shard of [source, target]) {
      shard.write(BEGUN, ENDED);
      shard.arrive();
    }
    await assert.rejects(world.counted(), { code: 'POSITION_LOST' });
  });

  test('takes such words for what somebody has stored where the server has none of its own', async () => {
    const { world, target } = await begun();
    target.write(
      encodeCommand(['SET', 'key', BEGUN]),
      encodeCommand(['SET', 'key', encodeCommand(['TRIMSLOTS', 'RANGES', '1', '0', '9'])]),
    );
    target.arrive();
    await world.counted();
    assert.equal(world.log.isTakingSlots, false);
  });
});
