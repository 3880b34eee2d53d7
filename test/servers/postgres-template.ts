import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { withFileLock } from './file-lock.ts';
import type { Owner } from './guarded.ts';
import { cacheFolder } from './postgres-binaries.ts';

const run = promisify(execFile);

/** A fresh data directory at `folder`, which must not exist: what `initdb` makes, copied from what it made before. */
export async function makeDataFolder(
  folder: string,
  binFolder: string,
  { owner, initdb }: { readonly owner: Owner | undefined; readonly initdb: readonly string[] },
): Promise<void> {
  const { stdout } = await run(join(binFolder, 'postgres'), ['--version']);
  const name = ['cluster', /[\d.]+/.exec(stdout)?.[0] ?? 'unknown', owner?.uid ?? process.geteuid?.(), ...initdb];
  const parent = join(cacheFolder(), name.join('-').replaceAll(/[^\w.-]/g, ''));
  const template = join(parent, 'data');
  if (!existsSync(template)) {
    await withFileLock(`${parent}.lock`, async () => {
      if (existsSync(template)) return;
      const scratch = join(parent, `scratch-${process.pid}`);
      mkdirSync(scratch, { recursive: true });
      if (owner) await run('chown', [`${owner.uid}:${owner.gid}`, scratch]);
      const data = join(scratch, 'data');
      const options = ['-U', 'postgres', '-A', 'trust', '--locale=C', '-E', 'UTF8', '--no-sync', ...initdb];
      await run(join(binFolder, 'initdb'), ['-D', data, ...options], { cwd: scratch, ...owner });
      renameSync(data, template);
      rmSync(scratch, { recursive: true, force: true });
    });
  }
  await run('cp', ['-a', '--reflink=auto', template, folder]);
  giveOwnIdentity(folder);
}

/** Two servers that were set up each for itself never have the same system identifier; two copies would. */
function giveOwnIdentity(folder: string): void {
  const identity = randomBytes(8);
  // As real ones do, it begins with the time in seconds, and it is a positive number to whoever reads it as signed.
  identity.writeUInt32LE(Math.floor(Date.now() / 1000), 4);
  const controlFile = join(folder, 'global/pg_control');
  const control = readFileSync(controlFile);
  const end = placeOfChecksum(control);
  identity.copy(control, 0);
  control.writeUInt32LE(crc32c(control.subarray(0, end)), end);
  writeFileSync(controlFile, control);
  const wal = join(folder, 'pg_wal');
  for (const name of readdirSync(wal).filter((found) => /^[0-9A-F]{24}$/.test(found))) {
    const segment = openSync(join(wal, name), 'r+');
    const header = Buffer.alloc(24);
    readSync(segment, header);
    // After the 24 bytes of the first page's header, in each file that was begun.
    if (header.readUInt16LE(0) !== 0) writeSync(segment, identity, 0, 8, 24);
    closeSync(segment);
  }
}

/** The checksum is over all that is before it; where it stands differs by version. */
function placeOfChecksum(control: Buffer): number {
  for (let end = 200; end < 512; end += 4) {
    if (control.readUInt32LE(end) === crc32c(control.subarray(0, end))) return end;
  }
  throw new Error('pg_control has no checksum where one was looked for');
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (0x82f63b78 & -(crc & 1));
  }
  return (crc ^ 0xffffffff) >>> 0;
}
