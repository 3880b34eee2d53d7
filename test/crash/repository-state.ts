import assert from 'node:assert/strict';
import { must } from '../../src/core/must.ts';
import type { Run } from '../../src/core/run.ts';
import type { RepositoryAccess } from '../../src/repository/access.ts';
import { writerKeysOf } from '../../src/repository/access.ts';
import { loadCatalogue, packKeysOf } from '../../src/repository/catalogue.ts';
import { extractInPlace } from '../../src/repository/extract/in-place.ts';
import { parsePackKey } from '../../src/repository/format/names.ts';
import { openPackDirectory } from '../../src/repository/pack-directory.ts';
import { RepositoryReader } from '../../src/repository/reader.ts';
import type { Head } from '../../src/repository/records/heads.ts';
import { verifyRepository } from '../../src/repository/verify.ts';
import { checkInPlace } from '../../src/repository/verify/check-in-place.ts';

/** By name, each character of which is a byte: what an entry holds that has a content. */
export type Contents = ReadonlyMap<string, Buffer>;

/** A repository as somebody finds it who has the owner's keys and remembers heads. */
export type Found = { readonly access: RepositoryAccess; readonly remembered: readonly Head[]; readonly run: Run };

const STORE = 'uploads';

/** Nothing is damaged, all marks of `marks` are there, and every mark holds what it should: `others` where it is none of these. */
export async function assertSound(
  { access, remembered, run }: Found,
  marks: ReadonlyMap<string, Contents>,
  others?: Contents,
): Promise<void> {
  const openChecker = async () => checkInPlace(access);
  const { random } = access.runtime;
  const { damage, catalogue } = await verifyRepository(
    {
      access,
      remembered,
      share: 1,
      random,
      openChecker,
      decoderOf: async () => undefined,
      onProgress: () => undefined,
    },
    run,
  );
  assert.deepEqual(damage, []);
  const found = catalogue.marks.map(({ mark }) => mark);
  const lost = [...marks.keys()].filter((id) => !found.some((mark) => mark.id === id));
  assert.deepEqual(lost, [], 'marks that are lost');
  await using reader = await RepositoryReader.open(
    { access, remembered, stateFolder: undefined, extract: extractInPlace },
    run,
  );
  for (const mark of found) {
    assert.deepEqual(mark.missing, []);
    const expected = must(marks.get(mark.id) ?? others, 'a mark that somebody wants');
    const contents = await contentsOf(reader, must(mark.bases[STORE], 'a base'), run);
    assert.deepEqual(namesThatDiffer(contents, expected), [], `mark ${mark.id}`);
  }
}

/** The contents themselves are too large to be shown. */
function namesThatDiffer(left: Contents, right: Contents): readonly string[] {
  const names = new Set([...left.keys(), ...right.keys()]);
  return [...names].filter((name) => {
    const [one, other] = [left.get(name), right.get(name)];
    return one === undefined || other === undefined || !one.equals(other);
  });
}

async function contentsOf(reader: RepositoryReader, manifest: string, run: Run): Promise<Contents> {
  const base = await reader.base(must(reader.catalogue.bases.get(manifest), 'a base'), run);
  const found = new Map<string, Buffer>();
  for await (const batch of base.entries(run)) {
    for (const { name, content } of batch) {
      if (content === undefined) continue;
      const pieces: Uint8Array[] = [];
      for await (const piece of base.read(content, run)) pieces.push(piece);
      found.set(Buffer.from(name).toString('latin1'), Buffer.concat(pieces));
    }
  }
  return found;
}

async function keysUnder({ access, run }: Found, prefix: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const batch of access.objects.list(prefix, '', run)) keys.push(...batch.map(({ key }) => key));
  return keys;
}

/** What all packs hold of contents, in bytes: a chunk counts as often as it is stored. */
export async function contentBytes(found: Found): Promise<number> {
  const { access, run } = found;
  const { certificates } = (await loadCatalogue(access, [], run)).log;
  let bytes = 0;
  for (const key of await keysUnder(found, 'packs/')) {
    const { credential } = must(parsePackKey(key), 'the key of a pack');
    const certificate = must(certificates.byId.get(credential), 'the certificate of a pack’s writer');
    const { idKey } = must(writerKeysOf(access, certificate), 'the owner to know its keys');
    const { chunks } = await openPackDirectory(access, { key, credential, idKey }, run);
    for (const [at, size] of chunks.sizes.entries()) if (chunks.kinds[at] === 0) bytes += size;
  }
  return bytes;
}

/** Every pack is one that a mark needs, and nothing waits to be deleted. */
export async function assertNoGarbage(found: Found): Promise<void> {
  const { bases, marks } = await loadCatalogue(found.access, [], found.run);
  const named = new Set(marks.flatMap(({ mark }) => Object.values(mark.bases)));
  const needed = [...named].flatMap((key) => packKeysOf(must(bases.get(key), 'a base that a mark names')));
  assert.deepEqual(await keysUnder(found, 'packs/'), [...new Set(needed)].toSorted());
  assert.deepEqual(await keysUnder(found, 'condemned/'), []);
  assert.equal((await keysUnder(found, 'manifests/')).length, named.size);
}
