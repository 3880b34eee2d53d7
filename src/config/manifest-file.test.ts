import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { TidemarkError } from '../core/errors.ts';
import { manifestText, MOST_MANIFEST_BYTES, readManifestFile } from './manifest-file.ts';

const run = { signal: new AbortController().signal };

async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'tidemark-manifest-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

function messageOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof TidemarkError) return `${error.code} ${error.message}`;
    throw error;
  }
  return 'no error';
}

test('a manifest is read with the folder that its paths start at', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'shop.yaml');
  await writeFile(path, '\ufeffapplication: größe\n');
  assert.deepEqual(await readManifestFile(path, './shop.yaml', run), {
    text: 'application: größe\n',
    origin: { file: './shop.yaml', folder: folder.path },
  });
});

test('a manifest that is not there, or no file, is told in one line', async () => {
  await using folder = await temporaryFolder();
  const table: Readonly<Record<string, string>> = {
    [join(folder.path, 'nothing.yaml')]: 'shown.yaml: there is no such manifest',
    [join(folder.path, 'nothing', 'below.yaml')]: 'shown.yaml: there is no such manifest',
    [folder.path]: 'shown.yaml: this is a folder, not a manifest',
  };
  for (const [path, message] of Object.entries(table)) {
    await assert.rejects(readManifestFile(path, 'shown.yaml', run), { code: 'CONFIG_NOT_FOUND', message });
  }
});

test('a file without an end is not read to its end', async () => {
  await assert.rejects(readManifestFile('/dev/zero', '/dev/zero', run), {
    code: 'CONFIG_INVALID',
    message: '/dev/zero: larger than 256 KiB, so not a manifest',
  });
});

test('what is not UTF-8 is refused with its line', () => {
  const at = (...bytes: number[]): string => messageOf(() => manifestText(Uint8Array.from(bytes), 'm.yaml'));
  assert.equal(at(0x61, 0x0a, 0x62, 0xff), 'CONFIG_INVALID m.yaml:2:1: not UTF-8 text; save the file as UTF-8');
  assert.equal(at(0xff, 0xfe, 0x61, 0x00), 'CONFIG_INVALID m.yaml:1:1: not UTF-8 text; save the file as UTF-8');
  assert.equal(at(0x61, 0xc3), 'CONFIG_INVALID m.yaml:1:1: not UTF-8 text; save the file as UTF-8');
  assert.equal(at(), 'no error');
});

test('the largest manifest is read, one byte more is refused', () => {
  assert.equal(
    messageOf(() => manifestText(new Uint8Array(MOST_MANIFEST_BYTES).fill(0x20), 'm.yaml')),
    'no error',
  );
  const larger = new Uint8Array(MOST_MANIFEST_BYTES + 1);
  assert.equal(
    messageOf(() => manifestText(larger, 'm.yaml')),
    'CONFIG_INVALID m.yaml: larger than 256 KiB, so not a manifest',
  );
});
