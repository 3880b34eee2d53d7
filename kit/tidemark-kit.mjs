#!/usr/bin/env node
/*
 * Tidemark recovery kit: lists and restores what a copy of a Tidemark repository holds, when nothing else is left.
 *
 * One file, plain Node (24.7 or newer), no dependencies, nothing shared with Tidemark itself: it was written from
 * docs/repository-format.md, whose sections the headings below name, and the pages in docs/formats/: files-attributes.md,
 * embedded-store.md, redis.md and postgres.md. It only reads the repository.
 *
 * It trusts nothing but the passphrase: the key slot proves the root key, the root key proves the header and the
 * certificates, a certificate proves the records of its writer, a record proves a tree, and the ids in the tree prove
 * every byte. What does not prove itself is reported as damage and left out; the rest is restored.
 *
 * Everything is synchronous and goes block by block (at most 16 MiB) and frame by frame (at most 128 MiB). A base needs
 * 8 bytes of memory for each chunk; what a log changed lies in a temporary file, or goes to where its server wants it.
 */
import { isUtf8 } from 'node:buffer';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import readline from 'node:readline/promises';
import { DatabaseSync } from 'node:sqlite';
import { Writable } from 'node:stream';
import { parseArgs } from 'node:util';
import zlib from 'node:zlib';

const USAGE = `Tidemark recovery kit: restores from a copy of a repository in a local folder. It never writes into the repository.

  node tidemark-kit.mjs list    REPOSITORY                     what can be restored, and whether something is missing
  node tidemark-kit.mjs ls      REPOSITORY MARK STORE [PATH]   what a folder of a store holds
  node tidemark-kit.mjs restore REPOSITORY MARK FOLDER [STORE...] [--only PATH]
                                                               each store into FOLDER/STORE, which must not be there yet;
                                                               of a server: a data folder to start it on
  node tidemark-kit.mjs verify  REPOSITORY                     reads and proves every byte

MARK is an id or a name that list shows, or: latest; of stores that are named the newest that has all of them.
In a PATH, \\xHH stands for the byte HH, as ls prints it.
The passphrase comes from the file that TIDEMARK_PASSPHRASE_FILE names, from TIDEMARK_PASSPHRASE, or is asked for.

Exit status: 0 done; 1 failed; 2 wrong usage; 3 something could not be written, or the mark is partial; 4 no such mark,
store or path; 5 the repository is damaged (what is not damaged was restored); 6 wrong passphrase; 7 no repository there.`;

const FORMAT_VERSION = 1;
const MIB = 2 ** 20;
const ZERO_NONCE = Buffer.alloc(12);
const NO_NAME = Buffer.alloc(0);
const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = fs.constants;

// ── Errors and output ───────────────────────────────────────────────────────────────────────────────────────────────

/** Something in the repository is missing, changed, or not what it says. Who can go on without it reports it and does. */
class Damage extends Error {}

/** Ends the program: one line, and the exit status. */
class Stop extends Error {
  constructor(exit, message) {
    super(message);
    this.exit = exit;
  }
}

function stop(exit, message) {
  throw new Stop(exit, message);
}

function fail(message) {
  throw new Damage(message);
}

function need(condition, message) {
  if (!condition) fail(message);
}

/** What this run found and could not do. `log` takes the full list, `unset` the number of things not set, by kind. */
const found = { damage: 0, unwritten: 0, unset: new Map(), log: undefined };

function print(line) {
  process.stdout.write(`${line}\n`);
}

function tell(line) {
  process.stderr.write(`${line}\n`);
  if (found.log !== undefined) fs.writeSync(found.log, `${line}\n`);
}

/** Reports damage, and lets every other error pass on. */
function damaged(where, error) {
  if (!(error instanceof Damage)) throw error;
  found.damage += 1;
  tell(`damaged: ${where}: ${error.message}`);
}

/** The result of `action`, or else of `onError`. */
function attempt(action, onError) {
  try {
    return action();
  } catch (error) {
    return onError(error);
  }
}

/** Runs `action`; damage in it is reported, and then the result is undefined. */
function orDamaged(where, action) {
  return attempt(action, (error) => damaged(where, error));
}

/** One thing that could not be set. It goes to the log; the terminal gets the sums at the end. */
function unset(kind, what) {
  found.unset.set(kind, (found.unset.get(kind) ?? 0) + 1);
  if (what !== undefined) fs.writeSync(found.log, `not set: ${kind}: ${what}\n`);
}

/** Makes one line of a system error; one that every further entry would meet too, such as a full disk, is the end. */
function systemError(error) {
  if (typeof error.code !== 'string' || error.syscall === undefined) throw error;
  if (['ENOSPC', 'EDQUOT', 'EROFS', 'EIO'].includes(error.code)) stop(1, `can't write: ${error.message}`);
  return `${error.code} (${error.syscall})`;
}

/** Text from the repository, safe on a terminal: `\xHH` for a backslash and what is not UTF-8 or is a control character. */
function safe(text) {
  const bytes = Buffer.from(text);
  let result = '';
  for (let at = 0, size = 1; at < bytes.length; at += size) {
    size = [1, 2, 3, 4].find((count) => isUtf8(bytes.subarray(at, at + count))) ?? 1;
    const char = bytes.subarray(at, at + size);
    const isPlain = isUtf8(char) && !/[\\\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(char.toString());
    result += isPlain ? char.toString() : char.toString('hex').replace(/../g, '\\x$&');
  }
  return result;
}

function timeText(ms) {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `${ms} ms`;
}

// ── Bytes and JSON (section 1) ──────────────────────────────────────────────────────────────────────────────────────

/** Takes a binary format apart from the front; nothing is read beyond the end. */
class Parser {
  constructor(bytes, what) {
    this.bytes = bytes;
    this.what = what;
    this.at = 0;
  }

  get left() {
    return this.bytes.length - this.at;
  }

  take(count) {
    need(count <= this.left, `${this.what} ends too early`);
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  u8() {
    return this.take(1)[0];
  }

  u32() {
    return this.take(4).readUInt32LE();
  }

  varint() {
    for (let value = 0, index = 0; index < 8; index += 1) {
      const byte = this.u8();
      value += (byte & 0x7f) * 128 ** index;
      if (byte < 0x80 && Number.isSafeInteger(value) && (byte > 0 || index === 0)) return value;
    }
    return fail(`${this.what} holds a number that is not well formed`);
  }

  magic(expected) {
    need(
      this.take(expected.length).toString('latin1') === expected,
      `${this.what} does not have its mark "${expected}"`,
    );
  }

  end() {
    need(this.left === 0, `${this.what} has bytes too many`);
  }
}

/** A field of an object itself: names such as `constructor` are found in every object, and are names of stores as well. */
const own = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const matches = (pattern) => (value) => typeof value === 'string' && pattern.test(value);
const isBase64 = (size) => (value) => {
  if (typeof value !== 'string') return false;
  const bytes = Buffer.from(value, 'base64');
  return bytes.toString('base64') === value && (size === undefined || bytes.length === size);
};
const ID = /^[0-9a-f]{32}$/;
const STORE = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const MOST_PART_BYTES = 2 ** 16;
const FIELD_TYPES = {
  text: (value) => typeof value === 'string',
  texts: (value) => Array.isArray(value) && value.every(FIELD_TYPES.text),
  zero: (value) => value === 0,
  count: (value) => Number.isSafeInteger(value) && value >= 0,
  id: matches(ID),
  digest: matches(/^[0-9a-f]{64}$/),
  store: matches(STORE),
  stores: (value) => FIELD_TYPES.texts(value) && value.every((name) => STORE.test(name)),
  byStore: (value) => isObject(value) && Object.keys(value).every((name) => STORE.test(name)),
  markId: matches(/^[a-z0-9-]{1,100}$/),
  part: (value) => typeof value === 'string' && Buffer.byteLength(value) <= MOST_PART_BYTES,
  order: (value) => typeof value === 'string' && isOrder(value),
  packs: (value) => FIELD_TYPES.base64(value) && Buffer.byteLength(value, 'base64') % 32 === 0,
  base64: isBase64(),
  nonce: isBase64(12),
  salt: isBase64(16),
  key: isBase64(32),
  signature: isBase64(64),
  list: Array.isArray,
  object: isObject,
};

/** The digits of a number below 2^64. */
function isOrder(text) {
  return /^[0-9]{1,20}$/.test(text) && (text.length < 20 || text <= '18446744073709551615');
}

/** Checks an object against a line of `name:type`, where `?` allows the field to be absent. Other fields are ignored. */
function checkFields(value, what, fields) {
  need(isObject(value), `${what} is not an object`);
  for (const [, name, type, mayBeAbsent] of fields.matchAll(/(\w+):(\w+)(\??)/g)) {
    const field = own(value, name);
    const isRight = FIELD_TYPES[type](field) || (mayBeAbsent === '?' && field === undefined);
    need(isRight, `${what}: the field "${name}" is missing or wrong`);
  }
  return value;
}

/** Only the fields that `fields` names: what else somebody put there is not kept. */
function known(value, fields) {
  const names = [...fields.matchAll(/(\w+):/g)].flatMap(([, name]) => (Object.hasOwn(value, name) ? name : []));
  return Object.fromEntries(names.map((name) => [name, value[name]]));
}

function parseJson(bytes, what, fields) {
  need(isUtf8(bytes), `${what} is not UTF-8`);
  const value = attempt(
    () => JSON.parse(bytes.toString()),
    () => fail(`${what} is not JSON`),
  );
  return checkFields(value, what, fields);
}

// ── Cryptography (section 1) ────────────────────────────────────────────────────────────────────────────────────────

const base64 = (text) => Buffer.from(text, 'base64');
const hex = (text) => Buffer.from(text, 'hex');
const join = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
const sha256 = (bytes) => crypto.createHash('sha256').update(bytes).digest();
const hkdf = (key, salt, info, size) => Buffer.from(crypto.hkdfSync('sha256', key, salt, info, size));

// Raw 32-byte keys, as Node takes them: behind the fixed DER prefix of their kind.
const secretKey = (seed) =>
  crypto.createPrivateKey({ key: join(hex('302e020100300506032b656e04220420'), seed), format: 'der', type: 'pkcs8' });
const publicKey = (raw, kind = 'x25519') => {
  const prefix = { x25519: '302a300506032b656e032100', ed25519: '302a300506032b6570032100' }[kind];
  return crypto.createPublicKey({ key: join(hex(prefix), raw), format: 'der', type: 'spki' });
};
const publicOf = (seed) =>
  crypto.createPublicKey(secretKey(seed)).export({ format: 'der', type: 'spki' }).subarray(-32);

function isSigned(rawKey, message, signature) {
  const verify = () => crypto.verify(null, message, publicKey(base64(rawKey), 'ed25519'), signature);
  return attempt(verify, () => false);
}

/** A signed JSON object: the signature covers the fields that `names` lists, in this order, without white space. */
function isSignedJson(rawKey, label, names, object) {
  const fields = names.split(' ').filter((name) => own(object, name) !== undefined);
  const text = JSON.stringify(Object.fromEntries(fields.map((name) => [name, object[name]])));
  return isSigned(rawKey, Buffer.from(`tidemark ${label}\n${text}`), base64(object.signature));
}

/** AES-256-GCM; what does not fit its tag is damage. `what` is sealed bytes with the name that damage gets. */
function unseal(key, nonce, aad, [what, sealed]) {
  need(sealed.length >= 16, `${what} is too short`);
  const cipher = crypto.createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 });
  cipher.setAAD(aad).setAuthTag(sealed.subarray(-16));
  const open = () => Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]);
  return attempt(open, () => fail(`${what} was changed, or belongs elsewhere`));
}

function openBox(seed, info, aad, [what, box]) {
  need(box.length >= 48, `${what} is too short`);
  const sender = box.subarray(0, 32);
  const agree = () => crypto.diffieHellman({ privateKey: secretKey(seed), publicKey: publicKey(sender) });
  const shared = attempt(agree, () => fail(`${what} was changed, or belongs elsewhere`));
  const key = hkdf(shared, join(sender, publicOf(seed)), `tidemark box ${info}`, 32);
  return unseal(key, ZERO_NONCE, aad, [what, box.subarray(32)]);
}

// ── The copy of the repository (section 2) ──────────────────────────────────────────────────────────────────────────

/** Opens an object to read. Only plain files are, so that nothing planted makes this program hang or read elsewhere. */
function openObject(repo, key, mostBytes) {
  const open = () => fs.openSync(path.join(repo.folder, key), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const file = attempt(open, ({ code }) => fail(code === 'ENOENT' ? 'it is missing' : `it can't be opened: ${code}`));
  const stat = fs.fstatSync(file);
  if (stat.isFile() && stat.size <= mostBytes) return { file, size: stat.size };
  fs.closeSync(file);
  return fail(stat.isFile() ? `it is larger than ${mostBytes} bytes` : 'it is not a plain file');
}

function readAt(file, offset, size) {
  const bytes = Buffer.allocUnsafe(size);
  for (let done = 0; done < size; ) {
    const read = () => fs.readSync(file, bytes, done, size - done, offset + done);
    const count = attempt(read, ({ code }) => fail(`it can't be read: ${code}`));
    need(count > 0, 'it ends too early');
    done += count;
  }
  return bytes;
}

/** `isRight` is asked about the first bytes before the rest is read. */
function readObject(repo, key, mostBytes, isRight = () => undefined) {
  const { file, size } = openObject(repo, key, mostBytes);
  try {
    isRight(readAt(file, 0, Math.min(size, RECORD_MAGIC.length)));
    return readAt(file, 0, size);
  } finally {
    fs.closeSync(file);
  }
}

/** The keys below `folder` that have the form of `pattern`, in order. Everything else there is foreign. */
function listKeys(repo, folder, pattern) {
  const list = () => fs.readdirSync(path.join(repo.folder, folder)).filter((name) => pattern.test(name));
  const onError = ({ code }) => (code === 'ENOENT' ? [] : stop(7, `can't read the folder ${folder}: ${code}`));
  const names = attempt(list, onError).sort();
  return names.map((name) => `${folder}/${name}`);
}

// ── Header and keys (sections 3 and 4) ──────────────────────────────────────────────────────────────────────────────

const HEADER = 'id:id rootKey:key contentKey:key maintenanceKey:key signature:signature chunks:object';
const SIGNED_HEADER = 'format version id createdAtMs rootKey contentKey maintenanceKey leaseMs chunks';
const SLOT = 'version:zero id:id kind:text role:text nonce:nonce sealed:base64 kdf:object';
const KEYRING = 'repository:id rootKey:key contentSeed:key? maintenanceSeed:key?';

/** Before a passphrase is asked for: is there a repository that this kit knows? Who wrote the header is proven later. */
function readHeader(folder) {
  const isThere = fs.lstatSync(path.join(folder, 'tidemark.json'), { throwIfNoEntry: false }) !== undefined;
  if (!isThere) stop(7, `there is no Tidemark repository in ${folder}: it has no tidemark.json`);
  try {
    const bytes = readObject({ folder }, 'tidemark.json', MIB);
    const { format, version } = parseJson(bytes, 'the header', 'format:text version:count');
    need(format === 'tidemark repository', 'it is not the header of a repository');
    if (version > FORMAT_VERSION) stop(1, `the repository has format ${version}: take the kit of a newer Tidemark`);
    if (version < FORMAT_VERSION)
      stop(1, `the repository has format ${version}: take the kit of the Tidemark that made it`);
    return parseJson(bytes, 'the header', HEADER);
  } catch (error) {
    if (error instanceof Damage) stop(5, `damaged: tidemark.json: ${error.message}`);
    throw error;
  }
}

/** Opens the repository with the passphrase and proves its header. Everything else is proven from here. */
function openRepository(folder, header, passphrase) {
  const repo = { folder, header, id: hex(header.id) };
  const keyring = findKeyring(repo, passphrase);
  const isOurs = keyring.repository === header.id && keyring.rootKey === header.rootKey;
  if (!isOurs) stop(5, 'tidemark.json is not of the repository that this passphrase opens');
  if (!isSignedJson(header.rootKey, 'header', SIGNED_HEADER, header))
    stop(5, 'tidemark.json was changed: its signature is wrong');
  for (const name of ['content', 'maintenance']) {
    const seed = base64(
      keyring[`${name}Seed`] ?? stop(6, 'this passphrase may not read: take one with the role reader'),
    );
    if (!publicOf(seed).equals(base64(header[`${name}Key`]))) stop(5, 'tidemark.json and the keyring do not fit');
    repo[`${name}Seed`] = seed;
  }
  repo.credentials = readCredentials(repo);
  return repo;
}

/** The keyring of the first key slot that the passphrase opens; cheap slots are tried first. */
function findKeyring(repo, passphrase) {
  const slots = [];
  for (const key of listKeys(repo, 'keys', ID)) orDamaged(key, () => slots.push(readSlot(repo, key)));
  if (slots.length === 0) stop(5, 'the repository has no key slot that can be read (keys/): nothing opens without one');
  slots.sort((a, b) => a.kdf.memoryKiB * a.kdf.passes - b.kdf.memoryKiB * b.kdf.passes);
  for (const slot of slots) {
    // A slot that does not open is what a wrong passphrase looks like.
    const keyring = attempt(
      () => openSlot(repo, slot, passphrase),
      (error) => need(error instanceof Damage, error.message),
    );
    if (keyring !== undefined) return keyring;
  }
  return stop(6, `the passphrase opens none of the ${slots.length} key slots: it is wrong, or they were damaged`);
}

function readSlot(repo, key) {
  const slot = parseJson(readObject(repo, key, MIB), 'the key slot', SLOT);
  const { name, memoryKiB, passes, parallelism } = checkFields(
    slot.kdf,
    'the key derivation',
    'name:text memoryKiB:count passes:count parallelism:count salt:salt',
  );
  need(`keys/${slot.id}` === key, 'the key slot belongs elsewhere');
  need(slot.kind === 'passphrase' && name === 'argon2id', 'the key slot is of an unknown kind');
  const isCheap = memoryKiB <= 2 ** 21 && passes <= 64 && parallelism <= 64;
  need(isCheap && memoryKiB >= 8 * parallelism && passes > 0 && parallelism > 0, 'its key derivation is not allowed');
  return slot;
}

function openSlot(repo, { kdf, id, role, nonce, sealed }, passphrase) {
  const { memoryKiB: memory, passes, parallelism, salt } = kdf;
  const message = Buffer.from(passphrase.normalize('NFC'));
  const cost = { memory, passes, parallelism, tagLength: 32 };
  const key = crypto.argon2Sync('argon2id', { message, nonce: base64(salt), ...cost });
  const aad = Buffer.from(`tidemark key slot\n${repo.header.id}\n${id}\n${role}`);
  return parseJson(unseal(key, base64(nonce), aad, ['the key slot', base64(sealed)]), 'the keyring', KEYRING);
}

async function askPassphrase() {
  const { TIDEMARK_PASSPHRASE_FILE: file, TIDEMARK_PASSPHRASE: text } = process.env;
  const read = () => fs.readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  const onError = ({ code }) => stop(2, `can't read ${file}, which TIDEMARK_PASSPHRASE_FILE names: ${code}`);
  const passphrase = file === undefined ? (text ?? (await typePassphrase())) : attempt(read, onError);
  return passphrase === '' ? stop(2, 'the passphrase is empty') : passphrase;
}

async function typePassphrase() {
  if (!process.stdin.isTTY) stop(2, 'no passphrase: name its file in TIDEMARK_PASSPHRASE_FILE, or run on a terminal');
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = readline.createInterface({ input: process.stdin, output: silent, terminal: true });
  terminal.on('SIGINT', () => process.exit(130));
  process.stderr.write('Passphrase: ');
  const passphrase = await terminal.question('');
  terminal.close();
  process.stderr.write('\n');
  return passphrase;
}

// ── Certificates (section 5) ────────────────────────────────────────────────────────────────────────────────────────

const SIGNED_CERTIFICATE = 'version id repository role name stores signingKey idKeyBox createdAtMs';
const CERTIFICATE =
  'version:zero id:id repository:id role:text stores:texts signingKey:key idKeyBox:base64? signature:signature';

function readCredentials(repo) {
  const credentials = new Map();
  for (const key of listKeys(repo, 'credentials', ID)) {
    orDamaged(key, () => {
      const certificate = parseJson(readObject(repo, key, MIB), 'the certificate', CERTIFICATE);
      const belongs = `credentials/${certificate.id}` === key && certificate.repository === repo.header.id;
      const isSound = isSignedJson(repo.header.rootKey, 'certificate', SIGNED_CERTIFICATE, certificate);
      need(belongs && isSound, 'the root key did not sign this certificate for this place');
      credentials.set(certificate.id, { ...certificate, ...writerKeys(repo, certificate) });
    });
  }
  return credentials;
}

/** A writer's keys: for the directories of its packs, and for the ids of chunks and nodes. */
function writerKeys(repo, { id, role, idKeyBox }) {
  if (role !== 'writer') return {};
  need(idKeyBox !== undefined, 'the certificate has no id key');
  const idKey = openBox(repo.contentSeed, 'id key', hex(id), ['the id key', base64(idKeyBox)]);
  return { idKey, chunkKeys: ['chunk id', 'node id'].map((kind) => hkdf(idKey, '', `tidemark ${kind}`, 32)) };
}

// ── Records (section 8) ─────────────────────────────────────────────────────────────────────────────────────────────

const RECORD = 'kind:text repository:id credential:id session:id counter:count previous:digest sections:texts';
const RECORD_MAGIC = 'TMRC\0';
const MOST_RECORD_BYTES = 256 * MIB;
const MOST_SMALL_RECORD_BYTES = 16 * MIB;
const SMALL_RECORD_KEY = /^(?:sessions|void|pins|unpins|proofs|runs)\//;
const ZSTD_FIRST_BYTE = 0x28;

/** The folder of each kind of record, and who may write it. */
const KINDS = {
  start: ['sessions', 'writer', 'maintainer'],
  beat: ['sessions', 'writer', 'maintainer'],
  end: ['sessions', 'writer', 'maintainer'],
  manifest: ['manifests', 'writer'],
  journal: ['journal', 'writer'],
  void: ['void', 'writer'],
  run: ['runs', 'writer', 'maintainer'],
  pin: ['pins', 'maintainer'],
  unpin: ['unpins', 'maintainer'],
  proof: ['proofs', 'maintainer'],
  ledger: ['ledger', 'maintainer'],
  condemned: ['condemned', 'maintainer'],
};

const isChained = ({ kind }) => kind !== 'beat' && kind !== 'condemned';

/** The key that a record must lie under. */
function keyOf({ kind, session, counter }) {
  if (kind === 'end') return `sessions/${session}/end`;
  const [folder] = Object.hasOwn(KINDS, kind) ? KINDS[kind] : ['unknown'];
  return `${folder}/${session}${folder === 'sessions' ? '/' : '-'}${counter.toString(16).padStart(8, '0')}`;
}

function recordKeys(repo) {
  const sessions = listKeys(repo, 'sessions', ID).flatMap((key) => listKeys(repo, key, /^(?:[0-9a-f]{8}|end)$/));
  const folders = new Set(Object.values(KINDS).map(([folder]) => folder));
  return sessions.concat([...folders].flatMap((folder) => listKeys(repo, folder, /^[0-9a-f]{32}-[0-9a-f]{8}$/)));
}

/** Reads a record and proves that it is what its key says. Its sections are opened by `openSection`. */
function readRecord(repo, key) {
  const mostBytes = SMALL_RECORD_KEY.test(key) ? MOST_SMALL_RECORD_BYTES : MOST_RECORD_BYTES;
  const isRecord = (first) => new Parser(first, 'the record').magic(RECORD_MAGIC);
  const bytes = readObject(repo, key, mostBytes, isRecord);
  const parser = new Parser(bytes, 'the record');
  parser.magic(RECORD_MAGIC);
  const headerBytes = parser.take(parser.u32());
  const header = parseJson(headerBytes, 'the header of the record', RECORD);
  const bodies = Array.from({ length: parser.u8() }, () => parser.take(parser.u32()));
  const signature = parser.take(64);
  parser.end();
  need(keyOf(header) === key && header.repository === repo.header.id, 'the record belongs elsewhere');
  const credential = repo.credentials.get(header.credential);
  need(credential !== undefined, `its credential ${header.credential} has no certificate`);
  const isRight = isSigned(credential.signingKey, join('tidemark record\n', bytes.subarray(0, -64)), signature);
  need(isRight, 'the signature of the record is wrong');
  need(KINDS[header.kind].indexOf(credential.role) > 0, `a ${credential.role} may not write this`);
  need(header.sections.length === bodies.length, 'the record does not have the sections that it names');
  return { ...header, key, digest: sha256(bytes).toString('hex'), bodies, headerDigest: sha256(headerBytes) };
}

/** To how much JSON a section may unpack: in proportion, or hardly more than it takes. */
function mostUnpacked(packed) {
  return Math.min(Math.max(Math.min(MIB + 1024 * packed, 128 * MIB), 2 * packed), MOST_RECORD_BYTES);
}

function openSection(repo, record, name, fields) {
  const index = record.sections.indexOf(name);
  need(index !== -1, `the record has no section "${name}"`);
  const aad = record.headerDigest;
  const body = [`the section "${name}"`, record.bodies[index]];
  const open = {
    plain: () => body[1],
    content: () => openBox(repo.contentSeed, 'record', aad, body),
    maintenance: () => openBox(repo.maintenanceSeed, 'record', aad, body),
    writer: () => {
      const { idKey = NO_NAME } = repo.credentials.get(record.credential);
      return unseal(hkdf(idKey, aad, 'tidemark writer section', 32), ZERO_NONCE, aad, body);
    },
  };
  need(Object.hasOwn(open, name), `the section "${safe(name)}" is unknown`);
  const plain = open[name]();
  const isPacked = name !== 'plain' && plain[0] === ZSTD_FIRST_BYTE;
  return parseJson(isPacked ? decompress(plain, mostUnpacked(plain.length), body[0]) : plain, body[0], fields);
}

// ── All records together: marks and chains (sections 8 and 10) ──────────────────────────────────────────────────────

const POSITION = 'lineage:part order:order resume:part';
const MANIFEST = 'store:store history:text logFrom:object cut:object exact:text entries:count bytes:count packs:packs';
const MARK =
  'id:markId name:text? tags:texts? class:text atMs:count skewMs:count positions:byStore bases:byStore floors:byStore? missing:stores';
const SEGMENT = 'store:store history:text after:object upTo:object storedBytes:count packs:packs? body:digest?';
const MOST_BODY_BYTES = 256 * MIB;

/** What is read of each kind when the repository is opened: the section, and its fields. */
const READ_AT_ONCE = {
  start: ['plain', 'heads:list'],
  manifest: ['maintenance', MANIFEST],
  journal: ['maintenance', 'marks:list segments:list? gaps:list?'],
  void: ['plain', 'record:text'],
  pin: ['maintenance', 'mark:markId'],
  unpin: ['maintenance', 'pins:texts'],
  ledger: ['plain', 'forgotten:texts removed:object heads:list'],
};

/** Reads every record once, keeps what marks and chains need, and reports what is missing. */
function readHistory(repo, everySection = false) {
  const records = new Map();
  for (const key of recordKeys(repo)) {
    orDamaged(key, () => {
      const record = readRecord(repo, key);
      const [section, fields] = READ_AT_ONCE[record.kind] ?? [];
      const content = section === undefined ? {} : known(openSection(repo, record, section, fields), fields);
      for (const gap of content.gaps ?? []) checkFields(gap, 'a gap', 'store:store');
      for (const name of ['packs', 'gaps']) delete content[name];
      const sections = record.sections.filter((name) => everySection && name !== 'frames');
      for (const name of sections) openSection(repo, record, name, '');
      content.marks = content.marks?.map((mark) => known(checkFields(mark, 'a mark', MARK), MARK));
      content.segments = content.segments?.map((one) => known(checkFields(one, 'a segment', SEGMENT), SEGMENT));
      const positions = [content.logFrom, content.cut].filter((position) => position !== undefined);
      for (const position of positions) checkFields(position, 'a position', POSITION);
      for (const head of content.heads ?? []) checkFields(head, 'a head', 'session:id counter:count digest:digest');
      need(Object.values(content.removed ?? {}).every(areRanges), 'the ledger is not well formed');
      const { kind, credential, session, counter, previous, digest } = record;
      records.set(key, { key, kind, credential, session, counter, previous, digest, content });
    });
  }
  const removed = new Map();
  for (const { kind, content } of records.values()) {
    for (const [id, ranges] of kind === 'ledger' ? Object.entries(content.removed) : []) {
      removed.set(id, [...(removed.get(id) ?? []), ...ranges]);
    }
  }
  const isIn = (counter) => (range) => range[0] <= counter && counter <= range[1];
  const stays = ({ session, counter }) => removed.get(session)?.some(isIn(counter)) !== true;
  refuseStrangers(records, stays);
  const standing = [...records.values()].filter((record) => !isChained(record) || stays(record));
  return {
    records,
    ...checkChains([...records.values()].filter(isChained), removed),
    ...readMarks(repo, standing, stays),
  };
}

function areRanges(ranges) {
  const isRange = (range) => Array.isArray(range) && range.every(FIELD_TYPES.count) && range[0] <= range[1];
  return Array.isArray(ranges) && ranges.every(isRange);
}

/** A session is of one writer, that of its first record: what others put into it does not count. */
function refuseStrangers(records, stays) {
  const firsts = new Map();
  for (const record of records.values()) {
    const isEarlier = record.counter < (firsts.get(record.session)?.counter ?? Number.POSITIVE_INFINITY);
    if (isChained(record) && stays(record) && isEarlier) firsts.set(record.session, record);
  }
  for (const [key, { session, credential }] of records) {
    const owner = firsts.get(session)?.credential ?? credential;
    if (owner === credential) continue;
    records.delete(key);
    damaged(key, new Damage('it is not by the writer of its session'));
  }
}

/** The marks that count, oldest first; those that retention gave up are apart, because what they need may be gone. */
function readMarks(repo, standing, stays) {
  const of = (kind) => standing.filter((record) => record.kind === kind);
  const sessions = new Map(standing.map(({ key, session }) => [key, session]));
  const voids = of('void').filter(({ session, content }) => sessions.get(content.record) === session);
  const voided = new Set(voids.map(({ content }) => content.record));
  const unpinned = new Set(of('unpin').flatMap(({ content }) => content.pins));
  const pins = of('pin').filter(({ key }) => !unpinned.has(key));
  const pinned = new Set(pins.map(({ content }) => content.mark));
  const given = new Set(of('ledger').flatMap(({ content }) => content.forgotten));
  const bases = new Map();
  const last = new Map();
  for (const { session, counter } of standing.filter(isChained)) {
    last.set(session, Math.max(counter, last.get(session) ?? 0));
  }
  const isSure = ({ session, counter }) => last.get(session) > counter || !stays({ session, counter: counter + 1 });
  for (const record of of('manifest')) {
    const { key, credential, content } = record;
    if (voided.has(key)) continue;
    orDamaged(key, () => {
      need(mayWrite(repo, credential, content.store), `its writer may not write the store ${content.store}`);
      need(content.history === content.store, 'its history is not one of its store');
      bases.set(key, { ...content, key, credential, isSure: isSure(record) });
    });
  }
  const journals = of('journal').filter(({ key }) => !voided.has(key));
  const segments = journals.flatMap((journal) => segmentsOf(repo, journal));
  const logs = new Logs([...bases.values()], segments);
  // What a void or a ledger took back takes marks over it along: they never were whole.
  const isTakenBack = (key) => {
    const [, session, digits] = /^manifests\/([0-9a-f]{32})-([0-9a-f]{8})$/.exec(key) ?? [];
    return voided.has(key) || !stays({ session, counter: Number.parseInt(digits, 16) });
  };
  const sureIds = new Set();
  const sureMarks = new Set();
  for (const { credential, content } of journals.filter(isSure)) {
    for (const mark of content.marks) {
      sureIds.add(`${credential} ${mark.id}`);
      sureMarks.add(`${credential} ${JSON.stringify(mark)}`);
    }
  }
  const marks = new Map();
  for (const { key, credential, content } of journals) {
    const mayWriteStore = (store) => mayWrite(repo, credential, store);
    for (const mark of content.marks) {
      // One that was put again when its record was joined with others is one mark.
      const place = `${credential} ${JSON.stringify(mark)}`;
      // Or it was put again with less, because nobody knew whether it had been put.
      if (sureIds.has(`${credential} ${mark.id}`) && !sureMarks.has(place)) continue;
      if (marks.has(place) || Object.values(mark.bases).some(isTakenBack)) continue;
      const isForgotten = given.has(mark.id) && !pinned.has(mark.id);
      const check = () => checkMark(mark, { bases, logs, credential, mayWriteStore, isForgotten });
      const onForgotten = (error) => need(error instanceof Damage, error.message);
      const stands = isForgotten ? attempt(check, onForgotten) : orDamaged(`mark ${mark.id} in ${key}`, check);
      if (stands === undefined) continue;
      const lacking = stands.flatMap(({ history, plan }) => (plan === undefined ? history : []));
      marks.set(place, { ...mark, stands, lacking, isForgotten, isPinned: pinned.has(mark.id) });
    }
  }
  const inOrder = [...marks.values()].sort((a, b) => a.atMs - b.atMs || (a.id < b.id ? -1 : 1));
  const isComplete = ({ missing, lacking, isForgotten }) => missing.length + lacking.length === 0 && !isForgotten;
  return { marks: inOrder, bases, segments, logs, latest: newestOf(inOrder.filter(isComplete)) };
}

/** The last of these marks, unless by their positions another one came after it: clocks are set wrong now and then. */
function newestOf(marks) {
  return marks.reduce((newest, mark) => (newest && !isFurther(mark, newest) ? newest : mark), marks.at(-1));
}

/** Whether a mark stands further on than another: in a history of both, and in none of them less far. */
function isFurther(mark, other) {
  const orders = Object.entries(mark.positions).flatMap(([history, { lineage, order }]) => {
    const before = Object.hasOwn(other.positions, history) ? other.positions[history] : undefined;
    if (before === undefined || before.lineage !== lineage) return [];
    return [order === before.order ? 0 : order < before.order ? -1 : 1];
  });
  return orders.some((order) => order > 0) && orders.every((order) => order >= 0);
}

/** The segments of a journal record that count, with where their frames are. */
function segmentsOf(repo, { key, credential, content }) {
  let offset = 0;
  return (content.segments ?? []).flatMap((segment) => {
    const own = { ...segment, key, credential, offset };
    if (segment.body === undefined) offset += segment.storedBytes;
    const { store, history, after, upTo, storedBytes } = segment;
    const checked = orDamaged(key, () => {
      for (const end of [after, upTo]) checkFields(end, 'a position', POSITION);
      need(mayWrite(repo, credential, store), `its writer may not write the store ${store}`);
      need(history === store, 'a history of it is not one of its store');
      need(after.lineage === upTo.lineage && after.order < upTo.order, 'a segment of it ends before it begins');
      need(storedBytes <= MOST_BODY_BYTES, 'a segment of it is too large');
      return own;
    });
    return checked ?? [];
  });
}

function mayWrite(repo, credential, store) {
  return repo.credentials.get(credential).stores.some((name) => name === '*' || name === store);
}

/**
 * How each history of a mark is reached: `plan` is a base and segments, or undefined where something is missing.
 * @throws Damage for a mark that can't be true
 */
function checkMark({ id, positions, bases: named, floors = {} }, context) {
  const { bases, logs, credential, mayWriteStore, isForgotten } = context;
  return [...new Set([...Object.keys(positions), ...Object.keys(named)])].map((history) => {
    const position = checkFields(own(positions, history), 'a position', POSITION);
    const floor = Object.hasOwn(floors, history) ? checkFields(floors[history], 'a position', POSITION) : undefined;
    const isNamed = Object.hasOwn(named, history);
    const goal = { history, credential, position, floor, isNamed };
    const base = isNamed ? bases.get(named[history]) : logs.baseFor(goal);
    if (base !== undefined) {
      const isRight = !isNamed || (isSamePlace(position, base.cut) && base.history === history);
      need(isRight, `the base of ${safe(history)} is not at its position`);
      need(mayWriteStore(base.store), `its writer may not write the store ${base.store}`);
    }
    const plan = base && logs.planFrom(base, position);
    const what = isNamed && base === undefined ? 'the base' : 'what leads to the position';
    if (plan === undefined && !isForgotten) damaged(`mark ${id}`, new Damage(`${what} of ${safe(history)} is missing`));
    return { ...goal, plan };
  });
}

/** Reports what is missing from the sessions' chains; finds the heads that no start names, and their fingerprint. */
function checkChains(chained, removed) {
  const sessions = new Map();
  const session = (id) => {
    if (!sessions.has(id)) sessions.set(id, { chain: new Map(), named: [] });
    return sessions.get(id);
  };
  for (const record of chained) {
    const { chain } = session(record.session);
    if (chain.has(record.counter)) damaged(record.key, new Damage('its session has another record of this number'));
    chain.set(record.counter, record);
    for (const head of record.content.heads ?? []) session(head.session).named.push(head);
  }
  const lines = [];
  for (const [id, { chain, named }] of sessions) {
    const check = (isRight, message) => isRight || damaged(`session ${id}`, new Damage(message));
    const lastPresent = [...chain.keys()].reduce((last, counter) => Math.max(last, counter), -1);
    const lastNamed = named.reduce((last, { counter }) => Math.max(last, counter), -1);
    const there = [...[...chain.keys()].map((counter) => [counter, counter]), ...(removed.get(id) ?? [])];
    for (const [from, to] of gaps(there, Math.max(lastPresent, lastNamed))) {
      check(false, `its records ${from} to ${to} are missing`);
    }
    for (const record of chain.values()) {
      const before = chain.get(record.counter - 1);
      const expected = record.counter === 0 ? '0'.repeat(64) : (before?.digest ?? record.previous);
      check(record.previous === expected, `${record.key} does not follow the record before it`);
      check((record.counter === 0) === (record.kind === 'start'), `${record.key} is not where its chain begins`);
      check(before?.kind !== 'end', `${record.key} comes after the end of its session`);
    }
    for (const { counter, digest } of named) {
      const isSame = !chain.has(counter) || chain.get(counter).digest === digest;
      check(isSame, `its record ${counter} is not the one that a later session saw`);
    }
    if (lastPresent > lastNamed) lines.push(`${id} ${lastPresent} ${chain.get(lastPresent).digest}\n`);
  }
  return { heads: lines.length, fingerprint: sha256(lines.sort().join('')).toString('hex', 0, 16) };
}

/** What the ranges `there` leave out of 0 to `last`. */
function gaps(there, last) {
  const missing = [];
  let next = 0;
  for (const [from, to] of [...there.sort((a, b) => a[0] - b[0]), [last + 1, last + 1]]) {
    if (from > next) missing.push([next, from - 1]);
    next = Math.max(next, to + 1);
  }
  return missing;
}

/** `stores`: those that are named, of which `latest` is then, also where it is partial for others. */
function findMark({ marks, latest }, text, stores) {
  if (text === 'latest') {
    const having = marks.filter((mark) => !mark.isForgotten && stores.every((store) => hasWhole(mark, store)));
    const newest = stores.length === 0 ? latest : (newestOf(having) ?? latest);
    if (newest === undefined) return stop(4, 'there is no complete mark');
    const without = [...new Set([...newest.missing, ...newest.lacking])];
    if (without.length > 0) tell(`latest is ${newest.id}, which is partial: without ${without.map(safe).join(', ')}`);
    return newest;
  }
  const exact = marks.filter(({ id }) => id === text);
  const hits = exact.length > 0 ? exact : marks.filter(({ id, name }) => name === text || id.startsWith(text));
  if (hits.length > 1) stop(4, `"${safe(text)}" fits ${hits.length} marks, such as ${hits[0].id} and ${hits[1].id}`);
  return hits[0] ?? stop(4, `there is no mark "${safe(text)}"; the command list shows those that are there`);
}

function hasWhole({ stands, missing }, store) {
  return !missing.includes(store) && stands.some(({ history, plan }) => history === store && plan !== undefined);
}

// ── Logs: which segments lead where (section 13) ────────────────────────────────────────────────────────────────────

const isSamePlace = (a, b) => a.lineage === b.lineage && a.order === b.order && a.resume === b.resume;
const isExact = ({ logFrom, cut }) => logFrom.order === cut.order;
const orderOf = (a, b) => (a === b ? 0 : a < b ? -1 : 1);

/** Bases and segments of all histories. What is of two writers, or of two lineages, is never taken together. */
class Logs {
  constructor(bases, segments) {
    const byCut = bases.sort((a, b) => orderOf(a.cut.order, b.cut.order));
    this.bases = Map.groupBy(byCut, (base) => this.owner(base, base.cut));
    this.segments = Map.groupBy(segments, (segment) => this.owner(segment, segment.after));
    this.runs = new Map();
  }

  owner({ history, credential }, { lineage }) {
    return JSON.stringify([history, credential, lineage]);
  }

  /** A segment that can't be read leads nowhere. */
  lose(segment) {
    const owner = this.owner(segment, segment.after);
    const left = this.segments.get(owner).filter((other) => other !== segment);
    this.segments.set(owner, left);
    this.runs.delete(owner);
  }

  runsOf(owner) {
    if (!this.runs.has(owner)) this.runs.set(owner, joinRuns(this.segments.get(owner) ?? []));
    return this.runs.get(owner);
  }

  /** The base from which a position is reached that no base is named for. */
  baseFor(goal) {
    const { position, floor } = goal;
    const bases = this.bases.get(this.owner(goal, position)) ?? [];
    const leads = (base) => this.planFrom(base, position) !== undefined;
    const isEarly = ({ cut }) => floor?.lineage === position.lineage && cut.order <= floor.order;
    return (
      bases.findLast((base) => base.isSure && isEarly(base) && leads(base)) ??
      bases.findLast((base) => base.isSure && leads(base)) ??
      bases.findLast(leads)
    );
  }

  /** The segments that lead from a base to a position; undefined when none do. */
  planFrom(base, position) {
    const { logFrom, cut } = base;
    if (cut.lineage !== position.lineage || logFrom.lineage !== cut.lineage) return undefined;
    if (cut.order > position.order || (cut.order === position.order && !isSamePlace(cut, position))) return undefined;
    if (isExact(base) && isSamePlace(cut, position)) return { base, segments: [] };
    const run = this.runsOf(this.owner(base, logFrom)).find(({ after, upTo }) => isWithin(logFrom, after, upTo));
    const isReached =
      run !== undefined &&
      run.upTo.order >= cut.order &&
      (run.upTo.order > position.order || isSamePlace(run.upTo, position));
    return isReached ? { base, segments: fewest(run.segments, logFrom.order, position) } : undefined;
  }
}

function isWithin(place, after, upTo) {
  const isBetween = after.order < place.order && place.order < upTo.order;
  return isBetween || isSamePlace(after, place) || isSamePlace(upTo, place);
}

/** Takes segments of one owner together that follow on each other. */
function joinRuns(segments) {
  const sorted = segments.toSorted(
    (a, b) => orderOf(a.after.order, b.after.order) || orderOf(b.upTo.order, a.upTo.order),
  );
  const runs = [];
  for (const segment of sorted) {
    const run = runs.at(-1);
    const { after, upTo } = segment;
    if (run !== undefined && (after.order < run.upTo.order || isSamePlace(after, run.upTo))) {
      run.segments.push(segment);
      if (upTo.order > run.upTo.order) run.upTo = upTo;
    } else runs.push({ after, upTo, segments: [segment] });
  }
  return runs;
}

/** Always the segment that ends where it is wanted, or else leads furthest. What was passed over leads no further than what is reached. */
function fewest(segments, from, to) {
  const chosen = [];
  for (let reached = from, at = 0; reached < to.order; ) {
    let best;
    for (; at < segments.length && segments[at].after.order <= reached; at += 1) {
      const { upTo } = segments[at];
      const isFound = best !== undefined && isSamePlace(best.upTo, to);
      const leads = isSamePlace(upTo, to) || upTo.order > (best?.upTo.order ?? reached);
      if (!isFound && leads) best = segments[at];
    }
    need(best !== undefined, 'the log has a gap');
    chosen.push(best);
    reached = best.upTo.order;
  }
  return chosen;
}

// ── Bases (section 9) ───────────────────────────────────────────────────────────────────────────────────────────────

/** The base that a manifest commits. `packs` are the ids of its packs, one after another. */
function openBase(repo, key) {
  const record = readRecord(repo, key);
  const summary = openSection(repo, record, 'maintenance', MANIFEST);
  const fields = 'root:digest level:count connector:text skipped:list';
  const { root, level, connector, skipped } = openSection(repo, record, 'content', fields);
  for (const entry of skipped) checkFields(entry, 'a skipped entry', 'name:base64 reason:text message:text');
  const packs = base64(summary.packs);
  need(level <= MOST_LEVEL, 'the level of the base is too high');
  const credential = repo.credentials.get(record.credential);
  return { ...summary, key, credential, root: hex(root), level, connector, skipped, packs };
}

/**
 * The bases of a mark as `{ store, base }`, each with the position to be reached and the segments that lead there; the base
 * of one that can't be used is undefined, and reported.
 */
function basesOf(repo, mark) {
  return mark.stands.map(({ history, position, floor, plan }) => {
    if (plan === undefined) return { store: history, base: undefined };
    const { key, store } = plan.base;
    const base = orDamaged(key, () => recentBase(key, () => openBase(repo, key)));
    return { store, base: base && { ...base, position, floor, segments: plan.segments } };
  });
}

const recentBase = remember(16, () => {});

// ── Packs and chunks (section 6) ────────────────────────────────────────────────────────────────────────────────────

const PACK_HEADER_BYTES = 104;
const PACK_TRAILER_BYTES = 8;
const MOST_PACK_BYTES = 128 * MIB;
const MOST_BLOCK_BYTES = 16 * MIB;
const MOST_PACKS = 2 ** 24;
const BLOCK_OVERHEAD_BYTES = 21;
const BLOCK_WINDOW = { [zlib.constants.ZSTD_d_windowLogMax]: 24 };

/** Remembers the last `limit` results; `drop` takes those that fall out. */
function remember(limit, drop) {
  const results = new Map();
  return (key, make) => {
    const result = results.get(key) ?? make();
    results.delete(key);
    results.set(key, result);
    if (results.size > limit) {
      const [[oldest, dropped]] = results;
      results.delete(oldest);
      drop(dropped);
    }
    return result;
  };
}

const PACK_NAME = /^[0-9a-f]{64}$/;
const recentPack = remember(8, ({ file }) => fs.closeSync(file));
const recentBlock = remember(4, () => {});
const chunkName = (kind, id) => `${kind}${id.toString('latin1')}`;

/** Opens a pack and its directory: `blocks` with their chunks, and `places`, the chunks by kind and id. */
function openPack(repo, credential, id) {
  const key = `packs/${credential.id}/${id}`;
  const { file, size } = openObject(repo, key, MOST_PACK_BYTES);
  try {
    need(size >= PACK_HEADER_BYTES + PACK_TRAILER_BYTES, 'the pack is too short');
    const headBytes = readAt(file, 0, PACK_HEADER_BYTES);
    const head = new Parser(headBytes, 'the pack');
    head.magic('TMPK\0');
    head.take(3);
    const salt = head.take(16);
    const keyBox = head.take(80);
    const tailBytes = readAt(file, size - PACK_TRAILER_BYTES, PACK_TRAILER_BYTES);
    const tail = new Parser(tailBytes, 'the pack');
    const sealedBytes = tail.u32();
    tail.magic('KPMT');
    const end = size - PACK_TRAILER_BYTES - sealedBytes;
    need(end >= PACK_HEADER_BYTES, 'the directory of the pack is longer than the pack');
    const owner = join(repo.id, hex(credential.id));
    const sealed = readAt(file, end, sealedBytes);
    const directoryKey = hkdf(credential.idKey ?? NO_NAME, salt, 'tidemark directory', 32);
    const aad = join('tidemark directory', owner);
    const directory = unseal(directoryKey, ZERO_NONCE, aad, ['the directory of the pack', sealed]);
    const packKey = openBox(repo.contentSeed, 'pack key', join(owner, salt), ['the key of the pack', keyBox]);
    const blockAad = join('tidemark block', owner, salt);
    const isNamed = sha256(join(headBytes, sealed, tailBytes)).toString('hex') === id;
    return { key, file, packKey, blockAad, isNamed, ...parseDirectory(directory, end) };
  } catch (error) {
    fs.closeSync(file);
    throw error;
  }
}

function parseDirectory(directory, end) {
  const parser = new Parser(directory, 'the directory of the pack');
  const blocks = [];
  const places = new Map();
  let offset = PACK_HEADER_BYTES;
  for (let left = parser.varint(); left > 0; left -= 1) {
    const block = { index: blocks.length, offset, sealedBytes: parser.varint(), plainBytes: 0, chunks: [] };
    for (let count = parser.varint(); count > 0; count -= 1) {
      const chunk = { kind: parser.u8(), id: parser.take(32), block, offset: block.plainBytes, size: parser.varint() };
      block.plainBytes += chunk.size;
      block.chunks.push(chunk);
      places.set(chunkName(chunk.kind, chunk.id), chunk);
    }
    need(block.chunks.length > 0, 'a block of the pack has no chunk');
    need(block.plainBytes <= MOST_BLOCK_BYTES, 'a block of the pack is too large');
    need(block.sealedBytes <= block.plainBytes + BLOCK_OVERHEAD_BYTES, 'a block of the pack is larger than its chunks');
    offset += block.sealedBytes;
    blocks.push(block);
  }
  parser.end();
  need(offset === end, 'the blocks of the pack are not as long as its directory says');
  return { blocks, places };
}

/** The chunks of one block, one after another. */
function openBlock(pack, block) {
  const sealed = readAt(pack.file, block.offset, block.sealedBytes);
  const number = Buffer.alloc(4);
  number.writeUInt32LE(block.index);
  const nonce = join(number, Buffer.alloc(8));
  const parser = new Parser(unseal(pack.packKey, nonce, join(pack.blockAad, number), ['a block', sealed]), 'a block');
  const encoding = parser.u8();
  need(parser.u32() === block.plainBytes && encoding <= 1, 'a block is not as its directory says');
  const payload = parser.take(parser.left);
  const plain = encoding === 0 ? payload : decompress(payload, block.plainBytes, 'a block', BLOCK_WINDOW);
  need(plain.length === block.plainBytes, 'a block does not have the size that its directory says');
  return plain;
}

/** What exactly one zstd frame holds, at most `size` bytes. What comes after it is not read, and so shows in what was taken. */
function decompress(payload, size, what, params = {}) {
  const open = (chunkSize) => () =>
    zlib.zstdDecompressSync(payload, { info: true, maxOutputLength: Math.max(size, 1), chunkSize, params });
  const unpack = (step) => attempt(open(step), () => fail(`${what} does not decompress`));
  const step = Math.max(64, Math.min(size, Math.max(MIB, payload.length * 8)) + 1);
  let { buffer, engine } = unpack(step);
  // A step that is full at a frame's end goes on with what comes after it: that of more than one step has to be opened in one.
  if (buffer.length >= step) ({ buffer, engine } = unpack(buffer.length + 1));
  need(engine.bytesWritten === payload.length, `${what} has bytes too many`);
  return buffer;
}

/** A chunk of an opened block, its id recomputed: only this proves that it is what its writer stored. */
function takeChunk(credential, { kind, id, offset, size }, block) {
  const plain = block.subarray(offset, offset + size);
  const key = credential.chunkKeys[kind];
  const isRight = key !== undefined && crypto.createHmac('sha256', key).update(plain).digest().equals(id);
  need(isRight, `the chunk ${id.toString('hex')} is not what its id says`);
  return plain;
}

/** Finds chunks in packs: 40 bits of each id and 24 of its pack's number, sorted, 8 bytes a chunk. */
class ChunkFinder {
  constructor(repo, base, isGood = () => true) {
    this.repo = repo;
    this.base = base;
    this.isGood = isGood;
    this.packs = [];
    this.table = new BigUint64Array();
    const ids = Array.from({ length: base.packs.length / 32 }, (_, at) =>
      base.packs.toString('hex', at * 32, at * 32 + 32),
    );
    this.addPacks(ids, damaged);
  }

  addPacks(ids, onDamage) {
    const tables = [this.table];
    for (const id of ids) {
      try {
        need(this.packs.length < MOST_PACKS, 'there are more packs than this kit can use');
        const number = BigInt(this.packs.push(id) - 1);
        tables.push(
          BigUint64Array.from(this.pack(id).places.values(), (chunk) => (this.prefix(chunk.id) << 24n) | number),
        );
      } catch (error) {
        onDamage(`packs/${this.base.credential.id}/${id}`, error);
      }
    }
    this.table = new BigUint64Array(sumOf(tables, 'length'));
    let filled = 0;
    for (const table of tables) {
      this.table.set(table, filled);
      filled += table.length;
    }
    this.table.sort();
  }

  prefix(id) {
    return BigInt(id.readUIntBE(0, 5));
  }

  pack(id) {
    return recentPack(`${this.base.credential.id}/${id}`, () => openPack(this.repo, this.base.credential, id));
  }

  /** The places of a chunk; there may be several, and for a while some that only look like it. */
  *places(kind, id) {
    const prefix = this.prefix(id);
    let low = 0;
    for (let high = this.table.length; low < high; ) {
      const middle = Math.floor((low + high) / 2);
      if (this.table[middle] >> 24n < prefix) low = middle + 1;
      else high = middle;
    }
    for (; low < this.table.length && this.table[low] >> 24n === prefix; low += 1) {
      const pack = this.pack(this.packs[Number(this.table[low] & 0xffffffn)]);
      const place = pack.places.get(chunkName(kind, id));
      if (place !== undefined && this.isGood(pack, place)) yield { pack, place };
    }
  }

  /** A chunk from the first place where it is whole; where the base's own packs fail, from any pack of its writer. */
  read(kind, id) {
    let problem = 'it is in no pack that can be read';
    for (;;) {
      for (const { pack, place } of this.places(kind, id)) {
        try {
          const block = recentBlock(`${pack.key}/${place.block.index}`, () => openBlock(pack, place.block));
          return takeChunk(this.base.credential, place, block);
        } catch (error) {
          if (!(error instanceof Damage)) throw error;
          problem = `${pack.key}: ${error.message}`;
        }
      }
      need(!this.hasAll, `the chunk ${id.toString('hex')} is lost: ${problem}`);
      this.hasAll = true;
      const all = listKeys(this.repo, `packs/${this.base.credential.id}`, PACK_NAME).map((key) => key.slice(-64));
      const known = new Set(this.packs);
      // Damage of packs that the base does not need is not its damage.
      const pass = (_where, error) => need(error instanceof Damage, error.message);
      this.addPacks(
        all.filter((name) => !known.has(name)),
        pass,
      );
    }
  }
}

// ── Trees (section 7) ───────────────────────────────────────────────────────────────────────────────────────────────

const MOST_LEVEL = 32;
const MOST_NAME_BYTES = 64 * 1024 * 1024;

/** The items of a node. Its names ascend, begin with `first` where that is known, and stay below `upper`. */
function parseNode(bytes, { level, first, upper }) {
  const parser = new Parser(bytes, 'a node of the tree');
  need(parser.u8() === level, 'a node of the tree has the wrong level');
  const items = [];
  let name = NO_NAME;
  let nameBytes = 0;
  for (let left = parser.varint(); left > 0; left -= 1) {
    const shared = parser.varint();
    const next = join(name.subarray(0, shared), parser.take(parser.varint()));
    nameBytes += next.length;
    need(nameBytes <= MOST_NAME_BYTES, 'the names in a node of the tree are too long');
    const isFirst = items.length === 0 && shared === 0 && (first === undefined || next.equals(first));
    const isNext = items.length > 0 && shared <= name.length && Buffer.compare(next, name) > 0;
    const isBelow = upper === undefined || Buffer.compare(next, upper) < 0;
    need((isFirst || isNext) && isBelow, 'the names in a node of the tree are out of order');
    name = next;
    if (level > 0) items.push({ name, id: parser.take(32), entries: parser.varint(), bytes: parser.varint() });
    else items.push({ name, attributes: parser.take(parser.varint()), entries: 1, ...parseContent(parser) });
  }
  parser.end();
  need(level === 0 || items.length > 0, 'a node of the tree is empty');
  return items;
}

/** The chunks of a content, or the one list that stands for them (it has a `depth`). */
function parseContent(parser) {
  const form = parser.varint();
  need(form <= 2, 'a node of the tree holds an unknown form of content');
  const runs = [];
  if (form === 2) runs.push({ depth: parser.varint(), bytes: parser.varint(), id: parser.take(32) });
  need(form !== 2 || runs[0].depth <= MOST_LEVEL, 'a list of chunks is too deep');
  for (let left = form === 1 ? parser.varint() : 0; left > 0; left -= 1) {
    runs.push({ id: parser.take(32), bytes: parser.varint() });
  }
  return { hasContent: form > 0, bytes: sumOf(runs), runs };
}

const sumOf = (items, field = 'bytes') => items.reduce((sum, item) => sum + item[field], 0);

/** The chunks of a content in order, as `{ id, bytes }`; lists are read on the way. */
function* chunksOf(finder, runs) {
  for (const { id, bytes, depth } of runs) {
    if (depth === undefined) {
      yield { id, bytes };
      continue;
    }
    const parser = new Parser(finder.read(1, id), 'a list of chunks');
    need(parser.u8() === 0x80 && parser.varint() === depth, 'a list of chunks is not where it belongs');
    const inner = [];
    for (let left = parser.varint(); left > 0; left -= 1) {
      inner.push({ id: parser.take(32), bytes: parser.varint(), depth: depth === 0 ? undefined : depth - 1 });
    }
    parser.end();
    need(sumOf(inner) === bytes, 'a list of chunks does not stand for as many bytes as it should');
    yield* chunksOf(finder, inner);
  }
}

/**
 * The entries of a base's tree in order, those with names in `range`: at or after `from`, and before `until` unless undefined.
 * The caller may move `from` on meanwhile. What can't be read goes to `onLost`, and the walk goes on behind it.
 */
function* leavesOf(finder, range, onLost) {
  const { root, level, entries, bytes } = finder.base;
  yield* walk({ id: root, level, entries, bytes });

  function* walk(node) {
    let items = [];
    try {
      items = parseNode(finder.read(1, node.id), node);
      const isRight = sumOf(items, 'entries') === node.entries && sumOf(items) === node.bytes;
      need(isRight, 'a node of the tree does not hold as much as is said of it');
    } catch (error) {
      onLost(lostText(node), error);
    }
    for (const [index, item] of items.entries()) {
      const upper = items[index + 1]?.name ?? node.upper;
      const isAfter = range.until !== undefined && Buffer.compare(item.name, range.until) >= 0;
      if (isAfter) return;
      const isBefore = upper !== undefined && Buffer.compare(upper, range.from) <= 0;
      if (node.level > 0 && !isBefore) yield* walk({ ...item, level: node.level - 1, first: item.name, upper });
      if (node.level === 0 && Buffer.compare(item.name, range.from) >= 0) yield item;
    }
  }
}

function lostText({ entries, first, upper }) {
  const from = first === undefined ? 'all' : `from ${nameText(first)}`;
  return `up to ${entries} entries, ${from}${upper === undefined ? '' : ` to before ${nameText(upper)}`}`;
}

// ── Logs: frames and what they change (section 13) ──────────────────────────────────────────────────────────────────

const MOST_PAYLOAD_BYTES = 128 * MIB;
const MOST_SEALED_BYTES = MOST_PAYLOAD_BYTES + 64 * 1024;
const MOST_TEXT_BYTES = 64 * 1024;

const placeOf = ({ key, body, credential }) => (body === undefined ? key : `logs/${credential}/${body}`);

/** Reads parts of the frames of a segment: `read(offset, size)`. Those that lie apart are compared with their name first. */
function openFrames(repo, segment) {
  const { key, credential, body, offset, storedBytes } = segment;
  if (body === undefined) {
    const record = readRecord(repo, key);
    const bytes = record.bodies[record.sections.indexOf('frames')]?.subarray(offset, offset + storedBytes);
    need(bytes?.length === storedBytes, 'it does not hold the frames that it names');
    return { read: (at, size) => bytes.subarray(at, at + size), close: () => {} };
  }
  const { file, size } = openObject(repo, `logs/${credential}/${body}`, storedBytes);
  try {
    need(size === storedBytes, 'it is not as large as it should be');
    const hash = crypto.createHash('sha256');
    for (let at = 0; at < size; at += MIB) hash.update(readAt(file, at, Math.min(MIB, size - at)));
    need(hash.digest('hex') === body, 'it is not what its name says');
    return { read: (at, count) => readAt(file, at, count), close: () => fs.closeSync(file) };
  } catch (error) {
    fs.closeSync(file);
    throw error;
  }
}

/** The payloads of a segment's frames, one after another. */
function* payloadsOf(repo, segment) {
  const aad = join('tidemark frame', repo.id, hex(segment.credential), segment.history);
  const frames = openFrames(repo, segment);
  try {
    for (let at = 0; at < segment.storedBytes; ) {
      need(at + 4 <= segment.storedBytes, 'a frame ends too early');
      const size = frames.read(at, 4).readUInt32LE();
      at += 4 + size;
      need(size <= MOST_SEALED_BYTES && at <= segment.storedBytes, 'a frame ends too early');
      const parser = new Parser(
        openBox(repo.contentSeed, 'frame', aad, ['a frame', frames.read(at - size, size)]),
        'a frame',
      );
      const encoding = parser.u8();
      const payloadBytes = parser.u32();
      need(encoding <= 1 && payloadBytes <= MOST_PAYLOAD_BYTES, 'a frame is not well formed');
      const stored = parser.take(parser.left);
      const payload = encoding === 0 ? stored : decompress(stored, payloadBytes, 'a frame');
      need(payload.length === payloadBytes, 'a frame does not have the size that it says');
      yield payload;
    }
  } finally {
    frames.close();
  }
}

function takeText(parser) {
  const size = parser.varint();
  need(size <= MOST_TEXT_BYTES, `${parser.what} holds a text that is too long`);
  return parser.take(size).toString();
}

/** The transactions of a segment in order: `order`, `resume`, and `changes`, whose attributes are absent where a name went. */
function* transactionsOf(repo, segment) {
  const { after, upTo } = segment;
  let { order } = after;
  let changes = [];
  for (const payload of payloadsOf(repo, segment)) {
    const parser = new Parser(payload, 'a payload');
    const follows = takeText(parser) === after.lineage && takeText(parser) === order;
    need(follows, 'its frames do not follow on each other');
    while (parser.left > 0) {
      for (let left = parser.varint(); left > 0; left -= 1) changes.push(parseChange(parser));
      const hasCommit = parser.u8();
      need(hasCommit <= 1, 'a payload is not well formed');
      if (hasCommit === 0) continue;
      const last = order;
      order = takeText(parser);
      need(isOrder(order), 'the order of a position is no number');
      const resume = takeText(parser);
      parser.varint();
      need(order > last, 'its commits do not ascend');
      yield { order, resume, changes };
      changes = [];
    }
  }
  need(order === upTo.order && changes.length === 0, 'it does not end where it should');
}

function parseChange(parser) {
  const kind = parser.u8();
  need(kind <= 1, 'a payload holds a change of an unknown kind');
  const name = parser.take(parser.varint());
  if (kind === 0) return { name };
  const attributes = parser.take(parser.varint());
  const start = parser.at;
  const content = parseContent(parser);
  return { name, attributes, contentForm: parser.bytes.subarray(start, parser.at), ...content };
}

function refuseFork({ order, resume }, { logFrom, position }) {
  const isFork = (end) => order === end.order && resume !== end.resume;
  need(!isFork(logFrom) && !isFork(position), 'it tells of another recorder’s history');
}

/** What a log changed up to a position: the last change of each name, in a temporary file that is gone when it is closed. */
class Overlay {
  constructor({ logFrom, position, floor }) {
    this.logFrom = logFrom;
    this.position = position;
    this.floor = floor?.lineage === position.lineage ? floor.order : undefined;
    this.reached = logFrom.order;
    this.database = new DatabaseSync('');
    this.database.exec(`
      PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
      CREATE TABLE changes (name BLOB PRIMARY KEY, attributes BLOB, content BLOB) WITHOUT ROWID;
      BEGIN;
    `);
    this.insert = this.database.prepare('INSERT OR REPLACE INTO changes (name, attributes, content) VALUES (?, ?, ?)');
    this.page = this.database.prepare('SELECT * FROM changes WHERE name >= ? ORDER BY name LIMIT 256');
  }

  close() {
    this.database.close();
  }

  /** Does the transactions of a segment that come after what is done, up to the position. */
  roll(repo, segment) {
    for (const { order, resume, changes } of transactionsOf(repo, segment)) {
      refuseFork({ order, resume }, this);
      if (order <= this.reached || order > this.position.order) continue;
      this.reached = order;
      const keepsRemoved = this.floor !== undefined && order > this.floor;
      for (const { name, attributes = null, contentForm = null } of changes) {
        if (attributes !== null || !keepsRemoved) this.insert.run(name, attributes, contentForm);
      }
    }
  }

  /** The names in a range, in order, with their entry, or none where it went. The caller may move `from` on meanwhile. */
  *changes(range) {
    for (let at = range.from; ; ) {
      const rows = this.page.all(at);
      for (const row of rows) {
        const name = Buffer.from(row.name);
        if (range.until !== undefined && Buffer.compare(name, range.until) >= 0) return;
        if (row.attributes === null) yield { name, entry: undefined };
        else {
          const content = parseContent(new Parser(Buffer.from(row.content), 'a content'));
          yield { name, entry: { name, attributes: Buffer.from(row.attributes), entries: 1, ...content } };
        }
        at = join(name, [0]);
      }
      if (rows.length === 0) return;
      if (Buffer.compare(range.from, at) > 0) at = range.from;
    }
  }
}

/** The run of bytes that a change is in the log of a store whose engine alone understands it. */
function parseRun({ name, attributes, hasContent }) {
  const isRun = name.length === 8 && attributes !== undefined && !hasContent;
  need(isRun, 'it holds a change that is no run of bytes');
  return { start: name.readBigUInt64BE(), bytes: attributes };
}

/** The log of such a store, from the base to each byte before the position: it goes to `sink.write(start, bytes, resume)`. */
class ByteLog {
  constructor({ logFrom, position }, sink) {
    this.logFrom = logFrom;
    this.position = position;
    this.sink = sink;
    this.next = BigInt(logFrom.order);
  }

  get reached() {
    return this.next.toString().padStart(this.position.order.length, '0');
  }

  close() {
    this.sink.close();
  }

  /** As that of an overlay, but that the position may lie within what a transaction holds. `resume`: of its end. */
  roll(repo, segment) {
    const end = BigInt(this.position.order);
    for (const { order, resume, changes } of transactionsOf(repo, segment)) {
      refuseFork({ order, resume }, this);
      for (const { start, bytes } of changes.map(parseRun)) {
        const upTo = start + BigInt(bytes.length);
        if (upTo <= this.next || this.next >= end) continue;
        need(start <= this.next, `it lacks bytes from ${this.next} to ${start}`);
        const wanted = bytes.subarray(Number(this.next - start), upTo > end ? Number(end - start) : bytes.length);
        this.sink.write(this.next, wanted, resume);
        this.next += BigInt(wanted.length);
      }
    }
  }
}

/**
 * A base with what its log changed up to the position that it is to be brought to, as `log`. Undefined, and reported, where
 * no segments that can be read lead there: nothing else than what was there is restored.
 */
function rolled(repo, history, base, openLog = (from) => new Overlay(from)) {
  const { key, store, position } = base;
  let { segments } = base;
  while (segments !== undefined) {
    const log = openLog(base);
    const isWhole = (segment) =>
      attempt(
        () => log.roll(repo, segment) ?? true,
        (error) => damaged(`${store}: ${placeOf(segment)}`, error) ?? false,
      );
    const lost = segments.find((segment) => !isWhole(segment));
    // An observation stands at its own position, and at nothing before it; so do bytes.
    const isObserved = base.exact === 'observation' && !isSamePlace(base.cut, position);
    const stopsThere = isObserved || log instanceof ByteLog;
    if (lost === undefined && (!stopsThere || log.reached === position.order)) {
      const packs = segments.map(({ packs: own = '' }) => base64(own));
      return { ...base, log, packs: Buffer.concat([base.packs, ...packs]) };
    }
    log.close();
    if (lost === undefined) break;
    history.logs.lose(lost);
    // Others may tell the same.
    segments = history.logs.planFrom(history.bases.get(key), position)?.segments;
  }
  damaged(store, new Damage('the log up to the mark is lost, and with it this store'));
  return undefined;
}

/** The entries of a state in order: those of the base's tree with what the log changed. As `leavesOf` otherwise. */
function* entriesOf(finder, range, onLost) {
  const { log } = finder.base;
  const leaves = leavesOf(finder, range, onLost);
  if (!(log instanceof Overlay)) return yield* leaves;
  const changes = log.changes(range);
  const isIn = (entry) => entry !== undefined && Buffer.compare(entry.name, range.from) >= 0;
  let { value: change } = changes.next();
  for (const leaf of leaves) {
    for (; change !== undefined && Buffer.compare(change.name, leaf.name) < 0; { value: change } = changes.next()) {
      if (isIn(change.entry)) yield change.entry;
    }
    if (change === undefined || !change.name.equals(leaf.name)) {
      if (isIn(leaf)) yield leaf;
      continue;
    }
    if (isIn(change.entry)) yield change.entry;
    ({ value: change } = changes.next());
  }
  for (; change !== undefined; { value: change } = changes.next()) if (isIn(change.entry)) yield change.entry;
  return undefined;
}

// ── Files: names and attributes (files-attributes.md) ───────────────────────────────────────────────────────────────

const SLASH = '/'.charCodeAt(0);
const TYPES = ['file', 'folder', 'link'];

function nameText(name) {
  return name.length === 0 ? '.' : safe(name.map((byte) => (byte === 0 ? SLASH : byte)));
}

/** What an operator typed, with `\xHH` for bytes. */
function bytesOf(text) {
  const char = (_match, digits) => String.fromCharCode(Number.parseInt(digits, 16));
  const bytes = Buffer.from(text)
    .toString('latin1')
    .replace(/\\x([0-9a-f]{2})/gi, char);
  return Buffer.from(bytes, 'latin1');
}

/** The name that an operator typed as a path. */
function nameOf(text) {
  return Buffer.from(
    bytesOf(text)
      .toString('latin1')
      .split('/')
      .filter((part) => part !== '' && part !== '.')
      .join('\0'),
    'latin1',
  );
}

/** The path of a name below its store's folder. @throws Damage for a name that could lead elsewhere */
function pathOf(name) {
  if (name.length === 0) return Buffer.from('.');
  const parts = name.toString('latin1').split('\0');
  const isRight = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('/'));
  need(isRight, `the name ${nameText(name)} is not allowed`);
  return Buffer.from(parts.join('/'), 'latin1');
}

function parentOf(name) {
  return name.subarray(0, Math.max(0, name.lastIndexOf(0)));
}

function isBelow(name, folder) {
  if (folder.length === 0) return name.length > 0;
  return name[folder.length] === 0 && name.subarray(0, folder.length).equals(folder);
}

/** Names from `name` to the last one below it. */
function rangeOf(name) {
  return { from: name, until: name.length === 0 ? undefined : join(name, [1]) };
}

/** The ranges that hold `name`, what is below it, and the folders above it. */
function rangesOf(name) {
  if (name.length === 0) return [rangeOf(name)];
  const above = [];
  for (let folder = name; folder.length > 0; ) {
    folder = parentOf(folder);
    above.unshift({ from: folder, until: join(folder, [0]) });
  }
  return [...above, rangeOf(name)];
}

function parseAttributes(entry) {
  const parser = new Parser(entry.attributes, 'the attributes');
  need(parser.u8() === 1, 'the attributes have an unknown version');
  const type = TYPES[parser.u8()];
  const [mode, uid, gid] = [parser.varint(), parser.varint(), parser.varint()];
  const seconds = Number(parser.take(8).readBigInt64LE()); // Beyond 2^53 not exact, as Node sets no such time anyway.
  const [nanoseconds, size] = [parser.u32(), parser.varint()];
  const fields = { xattrs: [], target: undefined, group: undefined, runs: undefined };
  for (let last = 0; parser.left > 0; ) {
    const tag = parser.u8();
    need(tag > last || (tag === last && tag === 3), 'the attributes are out of order');
    parseField(fields, tag, new Parser(parser.take(parser.varint()), 'the attributes'));
    last = tag;
  }
  const { target, group, runs } = fields;
  const areNumbersRight = mode <= 0o7777 && Math.max(uid, gid) < 2 ** 32 - 1 && nanoseconds < 1e9;
  need(areNumbersRight, 'the attributes hold a number that is too large');
  const fits = (type === 'link') === (target !== undefined) && (type !== 'folder' || group === undefined);
  const isBare = type === 'file' || (type !== undefined && runs === undefined && size === 0 && !entry.hasContent);
  need(fits && isBare, 'the attributes do not belong to their type');
  const isWhole =
    runs === undefined ? size === entry.bytes : sumOf(runs) === entry.bytes && (runs.at(-1)?.end ?? 0) <= size;
  need(isWhole, 'the size does not fit the content');
  return { type, mode, uid, gid, seconds, nanoseconds, size, ...fields };
}

function parseField(fields, tag, parser) {
  need(tag <= 4 || tag >= 128, `the attributes hold an unknown field ${tag}`);
  if (tag === 1) {
    fields.target = parser.take(parser.left);
    need(fields.target.length > 0 && !fields.target.includes(0), 'the target of a link is not allowed');
  } else if (tag === 2) {
    fields.group = parser.take(16);
    parser.varint();
  } else if (tag === 3) {
    const name = parser.take(parser.varint());
    const isNext = name.length > 0 && Buffer.compare(name, fields.xattrs.at(-1)?.name ?? NO_NAME) > 0;
    need(isNext && !name.includes(0), 'the extended attributes are not well formed');
    fields.xattrs.push({ name, value: parser.take(parser.left) });
  } else if (tag === 4) {
    fields.runs = [];
    for (let end = 0; parser.left > 0; ) {
      const start = end + parser.varint();
      const bytes = parser.varint();
      end = start + bytes;
      need(bytes > 0 && Number.isSafeInteger(end), 'the holes of a file are not well formed');
      fields.runs.push({ start, bytes, end });
    }
  } else parser.take(parser.left);
  parser.end();
}

// ── Writing a tree ──────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Writes the entries of one base, which come in order, into the working folder. Each folder on the way was made by this
 * writer, is closed to others until it is complete, and a name is only ever created anew: so no link, be it planted or
 * restored, is followed.
 */
class TreeWriter {
  constructor(finder, xattrPath) {
    this.finder = finder;
    this.store = finder.base.store;
    this.xattrPath = xattrPath;
    /** The folders from the root to the present one; `isMade` is false for one that could not be created. */
    this.open = [{ name: NO_NAME, isMade: true }];
    /** The first names of files that have several, by mount, inode, and all that is stored of them. */
    this.firstNames = new Map();
    /** Something of the tree was lost, so that a folder may be missing although its writer stored it. */
    this.hasGaps = false;
    this.entries = 0;
    this.bytes = 0;
  }

  lose(what, error) {
    this.hasGaps = true;
    damaged(`${this.store}: ${what}`, error);
  }

  unwritten(name, error) {
    found.unwritten += 1;
    tell(`not written: ${this.store}: ${nameText(name)}: ${systemError(error)}`);
  }

  /** @throws Damage when this entry shows that its writer did not keep to the format: the base is to be refused */
  add(entry) {
    const { name } = entry;
    const target = pathOf(name);
    while (this.open.length > 1 && !isBelow(name, this.open.at(-1).name)) this.leave();
    const attributes = attempt(
      () => parseAttributes(entry),
      (error) => this.lose(nameText(name), error),
    );
    if (attributes === undefined) return;
    if (name.length === 0) need(attributes.type === 'folder', 'the root of the base is not a folder');
    else this.enter(parentOf(name));
    try {
      if (!this.open.at(-1).isMade)
        throw Object.assign(new Error(), { code: 'ENOENT', syscall: 'its folder is not there' });
      this.create(entry, target, attributes);
      this.entries += 1;
    } catch (error) {
      if (error instanceof Damage) this.lose(nameText(name), error);
      else this.unwritten(name, error);
      if (attributes.type === 'folder') this.open.push({ name, isMade: false });
    }
  }

  /** Goes to the folder of an entry. One that was lost is made anew; a writer that left it out is not believed. */
  enter(folder) {
    if (this.open.at(-1).name.equals(folder) && (folder.length > 0 || this.hasRoot || this.hasGaps)) return;
    need(this.hasGaps, `${nameText(folder)} holds entries but is no folder`);
    this.enter(parentOf(folder));
    let { isMade } = this.open.at(-1);
    try {
      if (isMade) fs.mkdirSync(pathOf(folder), { mode: 0o700 });
      if (isMade) tell(`made without its attributes, which are lost: ${this.store}: ${nameText(folder)}`);
    } catch (error) {
      this.unwritten(folder, error);
      isMade = false;
    }
    this.open.push({ name: folder, isMade });
  }

  /** Closes the innermost folder. Its own attributes come last, because all that happens in it changes its time. */
  leave() {
    const { name, attributes } = this.open.pop();
    if (attributes !== undefined) this.setAttributes(pathOf(name), attributes);
  }

  create(entry, target, attributes) {
    if (attributes.type === 'folder') {
      if (entry.name.length > 0) {
        fs.mkdirSync(target, { mode: 0o700 });
        this.open.push({ name: entry.name, isMade: true });
      }
      this.open.at(-1).attributes = attributes;
      this.hasRoot = true;
    } else {
      if (this.linkTo(entry, target, attributes)) return;
      if (attributes.type === 'link') fs.symlinkSync(attributes.target, target);
      else this.writeFile(entry, target, attributes);
      this.setAttributes(target, attributes);
    }
    if (attributes.xattrs.length > 0) this.keepXattrs(target, attributes.xattrs);
  }

  /** Whether `target` could be made one more name of a file that is there already. */
  linkTo(entry, target, { group, type }) {
    if (group === undefined) return false;
    const chunks = entry.runs.flatMap(({ id, bytes }) => [id, `${bytes},`]);
    const key = sha256(join(type, group, sha256(entry.attributes), ...chunks)).toString('latin1');
    const first = this.firstNames.get(key);
    if (first === undefined) this.firstNames.set(key, target);
    if (first === undefined) return false;
    try {
      fs.linkSync(first, target);
      return true;
    } catch (error) {
      // The first name was lost, or the file system has no hard links: this one gets the content itself.
      if (error.code === 'EEXIST') throw error;
      if (error.code !== 'ENOENT') unset('hard link (it is a file of its own)', this.text(target));
      this.firstNames.set(key, target);
      return false;
    }
  }

  writeFile(entry, target, { size, runs = [{ start: 0, end: size }] }) {
    const file = fs.openSync(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      let run = 0;
      let at = runs[0]?.start ?? 0;
      for (const { id, bytes } of chunksOf(this.finder, entry.runs)) {
        let data = this.finder.read(0, id);
        need(data.length === bytes, `the chunk ${id.toString('hex')} does not have the size that it should`);
        this.bytes += bytes;
        while (data.length > 0) {
          if (at === runs[run].end) at = runs[(run += 1)].start;
          const count = fs.writeSync(file, data, 0, Math.min(data.length, runs[run].end - at), at);
          at += count;
          data = data.subarray(count);
        }
      }
      if (at !== size) fs.ftruncateSync(file, size);
    } catch (error) {
      fs.unlinkSync(target);
      throw error;
    } finally {
      fs.closeSync(file);
    }
  }

  /** Sets what Node can set, looks at what came of it, and notes the difference. */
  setAttributes(target, { type, mode, uid, gid, seconds, nanoseconds }) {
    attempt(() => fs.lchownSync(target, uid, gid), systemError);
    const owner = fs.lstatSync(target);
    const isOwned = owner.uid === uid && owner.gid === gid;
    // A program must not run as another user than the one that it was meant to run as.
    const safeMode = isOwned || type === 'folder' ? mode : mode & 0o1777;
    if (type !== 'link') attempt(() => fs.chmodSync(target, safeMode), systemError);
    const time = secondsText(seconds, nanoseconds);
    attempt(() => fs.lutimesSync(target, time, time), systemError);
    const stat = fs.lstatSync(target, { bigint: true });
    const wantedNs = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
    if (!isOwned) unset('owner', `${this.text(target)} ${uid}:${gid}`);
    const isModeSet = type === 'link' || (Number(stat.mode) & 0o7777) === mode;
    if (!isModeSet) unset('mode', `${this.text(target)} ${mode.toString(8).padStart(4, '0')}`);
    if (wholeMicros(stat.mtimeNs) !== wholeMicros(wantedNs)) unset('time', `${this.text(target)} ${wantedNs} ns`);
    else if (stat.mtimeNs !== wantedNs) unset('nanoseconds of the time');
  }

  /** Node can't set extended attributes: they go to a file from which `setfattr --restore` can. */
  keepXattrs(target, xattrs) {
    this.xattrFile ??= fs.openSync(this.xattrPath, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    const octal = (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`;
    let text = `# file: ${target.toString('latin1').replace(/[\n\r\\]/g, octal)}\n`;
    for (const { name, value } of xattrs) {
      text += `${name.toString('latin1').replace(/[\n\r\\=]/g, octal)}=0s${value.toString('base64')}\n`;
      unset('extended attribute', `${this.text(target)} ${safe(name)}`);
    }
    fs.writeSync(this.xattrFile, Buffer.from(`${text}\n`, 'latin1'));
  }

  text(target) {
    return `${this.store}/${safe(target)}`;
  }

  finish() {
    while (this.open.length > 0) this.leave();
    if (this.xattrFile === undefined) return;
    fs.closeSync(this.xattrFile);
    const { store } = this;
    tell(`extended attributes are not set; this sets them: cd ${store} && setfattr -h --restore=../${store}.setfattr`);
  }
}

const wholeMicros = (ns) => (ns - (((ns % 1000n) + 1000n) % 1000n)) / 1000n;

/**
 * A time as Node takes it: the nearest double, or another one where rounding would leave the microsecond. As text, because
 * Node takes a negative number for the present time.
 */
function secondsText(seconds, nanoseconds) {
  const lowest = nanoseconds - (nanoseconds % 1000);
  const nearest = seconds + nanoseconds / 1e9;
  const whole = Math.trunc(nearest);
  const stored = (whole - seconds) * 1e9 + Math.trunc((nearest - whole) * 1e9);
  return String(stored >= lowest && stored < lowest + 1000 ? nearest : seconds + (lowest + 500) / 1e9);
}

// ── Servers: what redis.md and postgres.md have in common ───────────────────────────────────────────────────────────

/** The entry of exactly that name in a base, or undefined. */
function findEntry(finder, name) {
  const range = { from: Buffer.from(name), until: join(name, [0]) };
  const [entry] = leavesOf(finder, range, (what, error) => damaged(`${finder.base.store}: ${what}`, error));
  return entry;
}

/** The first `size` bytes of an entry's content, or all. */
function readContent(finder, { runs }, size) {
  const pieces = [];
  let left = size;
  for (const { id } of chunksOf(finder, runs)) {
    if (left <= 0) break;
    pieces.push(finder.read(0, id));
    left -= pieces.at(-1).length;
  }
  return Buffer.concat(pieces).subarray(0, size);
}

/** An entry's content as a new file; it is there whole, or not at all. Returns its size. */
function writeContent(finder, { runs }, place) {
  const file = fs.openSync(place, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  let written = 0;
  try {
    for (const { id, bytes } of chunksOf(finder, runs)) {
      const data = finder.read(0, id);
      need(data.length === bytes, `the chunk ${id.toString('hex')} does not have the size that it should`);
      writeAt(file, data, written);
      written += bytes;
    }
    return written;
  } catch (error) {
    fs.unlinkSync(place);
    throw error;
  } finally {
    fs.closeSync(file);
  }
}

function writeAt(file, bytes, offset) {
  for (let done = 0; done < bytes.length; ) {
    done += fs.writeSync(file, bytes, done, bytes.length - done, offset + done);
  }
}

function syncFile(place) {
  const file = fs.openSync(place, O_RDONLY);
  fs.fsyncSync(file);
  fs.closeSync(file);
}

function writeText(place, text) {
  fs.writeFileSync(place, text, { flag: 'wx', mode: 0o600, flush: true });
}

/** Lists the entries whose names begin with a prefix. */
function listOfServer(repo, base, prefix) {
  const { store, connector, cut, position } = base;
  let isThere = prefix.length === 0;
  const lost = (what, error) => damaged(`${store}: ${what}`, error);
  for (const entry of entriesOf(new ChunkFinder(repo, base), { from: prefix, until: undefined }, lost)) {
    if (!entry.name.subarray(0, prefix.length).equals(prefix)) break;
    isThere = true;
    const size = String(sumOf(entry.runs)).padStart(14);
    orDamaged(`${store}: ${safe(entry.name)}`, () => {
      const { server, version, replId, offset } = connector === 'redis' ? parseOrigin(entry) : {};
      const { type, mode, mtimeS } = connector === 'postgres' ? parseFile(entry) : {};
      const told =
        type === undefined
          ? `  of ${safe(server)} ${safe(version)}${replId === undefined ? '' : ` at ${safe(replId)}:${safe(offset)}`}`
          : `  ${type.padEnd(6)}  ${mode.toString(8).padStart(4, '0')}  ${timeText(mtimeS * 1000)}`;
      print(`${size} ${safe(entry.name)}${told}`);
    });
  }
  if (!isThere) stop(found.damage > 0 ? 5 : 4, `${store} holds nothing that begins with ${safe(prefix)}`);
  if (!isSamePlace(cut, position)) {
    tell(`this is its base at ${safe(cut.resume)}; a restore brings it to ${safe(position.resume)}`);
  }
}

// ── Redis (redis.md) ────────────────────────────────────────────────────────────────────────────────────────────────

const SHARD = /^shards\/(\d{4,5})\/dump\.rdb$/;

/** What is said of an RDB of a base: the server and its version, and where in which stream it was made; of a cluster `slots`. */
function parseOrigin({ name, attributes }) {
  const isShard = SHARD.test(name.toString());
  need(isShard || name.toString() === 'dump.rdb', 'a base of Redis holds something that this kit does not know');
  const more = isShard ? 'replId:text offset:text slots:text' : 'replId:text? offset:text?';
  const origin = parseJson(attributes, 'the origin of an RDB', `format:count server:text version:text ${more}`);
  need(origin.format === 1, 'the origin of an RDB has an unknown format');
  need(!isShard || /^\d{1,19}$/.test(origin.offset), 'the origin of an RDB is not well formed');
  return origin;
}

/** Goes through commands in the form in which a master sends them and an append-only file holds them. */
class CommandScanner {
  constructor() {
    this.size = 0;
    /** Behind the last command that is whole, and not within a transaction that is not. */
    this.end = 0;
    this.databases = 16;
    this.argumentsLeft = 0;
    this.bytesLeft = 0;
    /** The digits of a line so far: of a number of arguments, or of the size of the next one. */
    this.digits = 0;
    this.number = 0;
    this.line = 'begin';
    /** The name of a command where it matters, and the word behind it. */
    this.words = [];
    this.isWanted = false;
    this.isInTransaction = false;
  }

  scan(bytes) {
    for (let at = 0; at < bytes.length; ) {
      const count = this.bytesLeft > 0 ? Math.min(this.bytesLeft, bytes.length - at) : 1;
      this.size += count;
      if (this.bytesLeft > 0) this.argument(bytes, at, count);
      else this.header(bytes[at]);
      at += count;
    }
  }

  /** A byte of a line such as `*3` or `$5`. */
  header(byte) {
    const isNumber = this.line === 'number';
    if (this.line === 'begin' && byte === (this.argumentsLeft > 0 ? 0x24 : 0x2a)) this.line = 'number';
    else if (isNumber && byte >= 0x30 && byte <= 0x39 && this.digits < 10) {
      this.number = this.number * 10 + byte - 0x30;
      this.digits += 1;
    } else if (isNumber && byte === 0x0d && this.digits > 0) this.line = 'end';
    else {
      need(this.line === 'end' && byte === 0x0a, `the log holds no command at its byte ${this.size - 1}`);
      this.endOfLine();
    }
  }

  endOfLine() {
    const { number } = this;
    [this.line, this.digits, this.number] = ['begin', 0, 0];
    if (this.argumentsLeft === 0) {
      need(number > 0, `the log holds a command without words at its byte ${this.size}`);
      this.argumentsLeft = number;
      this.words.length = 0;
      return;
    }
    this.bytesLeft = number + 2;
    const { length } = this.words;
    this.isWanted =
      length === 0 ? number >= 4 && number <= 6 : length === 1 && number < 10 && this.words[0] === 'select\r\n';
    if (length < 2) this.words.push('');
  }

  /** A part of an argument, or of the end of its line. */
  argument(bytes, at, count) {
    this.bytesLeft -= count;
    if (this.isWanted) this.words.push(this.words.pop() + bytes.toString('latin1', at, at + count).toLowerCase());
    if (this.bytesLeft > 0) return;
    this.argumentsLeft -= 1;
    if (this.argumentsLeft > 0) return;
    const [name, first] = this.words;
    if (name === 'multi\r\n') this.isInTransaction = true;
    if (name === 'exec\r\n') this.isInTransaction = false;
    if (name === 'select\r\n') this.databases = Math.max(this.databases, (Number.parseInt(first, 10) || 0) + 1);
    if (!this.isInTransaction) this.end = this.size;
  }
}

/** An append-only file of a log: what comes behind the last whole command is not in it. */
class CommandFile {
  constructor(place) {
    this.file = fs.openSync(place, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    this.scanner = new CommandScanner();
  }

  write(_start, bytes) {
    writeAt(this.file, bytes, this.scanner.size);
    this.scanner.scan(bytes);
  }

  finish() {
    fs.ftruncateSync(this.file, this.scanner.end);
    fs.fsyncSync(this.file);
  }

  close() {
    fs.closeSync(this.file);
  }
}

/**
 * A file of commands that runs after all others, while nothing expires yet: keys with a time to live get back the time that
 * they had left at the mark. The number is fixed, so that each start comes to the same times.
 */
function moveExpiry(place, byMs) {
  const script = `local database = 0
while not redis.pcall('SELECT', database).err do
  for _, key in ipairs(redis.call('KEYS', '*')) do
    local at = redis.call('PEXPIRETIME', key)
    if at > 0 then redis.call('PEXPIREAT', key, string.format('%.0f', at + ARGV[1])) end
  end
  database = database + 1
end`;
  const words = ['EVAL', script, '0', String(byMs)].map((word) => `$${word.length}\r\n${word}\r\n`);
  writeText(place, `*4\r\n${words.join('')}`);
}

const FRAME_HEADER = 14;

/** The log of a cluster is frames of the streams of its shards; an append-only file for each of them. */
class FrameFiles {
  /** `offsets`: where the stream of each shard goes on, by its number. `ends`: where it stops. `fileOf`: where its commands go. */
  constructor({ offsets, ends, fileOf }) {
    this.ends = ends;
    this.fileOf = fileOf;
    this.shards = new Map();
    this.header = Buffer.alloc(0);
    this.frame = undefined;
    for (const [number, offset] of offsets) this.open(number, offset);
  }

  open(number, offset) {
    const shard = { at: offset, file: new CommandFile(this.fileOf(number)) };
    this.shards.set(number, shard);
    return shard;
  }

  write(_start, bytes) {
    for (let at = 0; at < bytes.length; ) {
      if (this.frame === undefined) {
        const part = bytes.subarray(at, at + FRAME_HEADER - this.header.length);
        this.header = Buffer.concat([this.header, part]);
        at += part.length;
        if (this.header.length === FRAME_HEADER) this.begin();
      } else {
        const part = bytes.subarray(at, at + this.frame.left);
        this.part(part);
        at += part.length;
      }
    }
  }

  begin() {
    const number = this.header.readUInt16BE(0);
    this.frame = { number, offset: this.header.readBigUInt64BE(2), left: this.header.readUInt32BE(10) };
    this.header = Buffer.alloc(0);
    // A shard that is in no base begins with a frame that holds nothing.
    if (this.frame.left > 0) return;
    if (!this.shards.has(number)) this.open(number, this.frame.offset);
    this.frame = undefined;
  }

  /** What of a frame was not told yet, and lies before the end of its shard. */
  part(bytes) {
    const { number, offset } = this.frame;
    const shard = this.shards.get(number);
    need(shard !== undefined && offset <= shard.at, `the log lacks what shard ${number} did before ${offset}`);
    const upTo = this.ends?.[number] === undefined ? bytes.length : Math.max(0, Number(this.ends[number] - offset));
    const wanted = bytes.subarray(Number(shard.at - offset), upTo);
    if (wanted.length > 0) shard.file.write(0n, wanted);
    shard.at += BigInt(wanted.length);
    this.frame.offset += BigInt(bytes.length);
    this.frame.left -= bytes.length;
    if (this.frame.left === 0) this.frame = undefined;
  }

  finish() {
    for (const [number, { at, file }] of this.shards) {
      need(at >= (this.ends?.[number] ?? 0n), `the log lacks what shard ${number} did behind ${at}`);
      file.finish();
    }
  }

  close() {
    for (const { file } of this.shards.values()) file.close();
  }
}

/** How far each shard is at a position of a cluster; undefined where it is as far as the log. */
function parseVector({ resume }) {
  const [, places] = /^cluster:\d{1,20}(?:;(.*))?$/.exec(resume) ?? fail(`${safe(resume)} is no place of a cluster`);
  const offsetOf = (place) => /^[0-9a-f]{40}:(\d{1,19})$/.exec(place)?.[1] ?? fail(`${safe(place)} is no place`);
  return places?.split(',').map((place) => BigInt(offsetOf(place)));
}

/** The RDBs of the shards of a cluster, by their numbers; none of a single server. */
function shardsOf(finder) {
  const range = { from: Buffer.from('shards/'), until: Buffer.from('shards0') };
  const lost = (what, error) => damaged(`${finder.base.store}: ${what}`, error);
  const shards = new Map();
  for (const entry of leavesOf(finder, range, lost)) {
    const origin = parseOrigin(entry);
    shards.set(Number(SHARD.exec(entry.name.toString())[1]), { entry, origin });
  }
  return shards;
}

/** Restores a data folder for each shard of a cluster: each one, by itself, is that of a server. */
function restoreShards(repo, history, { base, shards }, { folder, atMs }) {
  const { store, position } = base;
  const homeOf = (number) => path.join(folder, `shard-${number}`);
  const at = (number, name) => path.join(homeOf(number), 'appendonlydir', `appendonly.aof.${name}`);
  const fileOf = (number) => {
    fs.mkdirSync(path.join(homeOf(number), 'appendonlydir'), { recursive: true, mode: 0o700 });
    return at(number, '1.incr.aof');
  };
  const offsets = [...shards].map(([number, { origin }]) => [number, BigInt(origin.offset)]);
  const open = (from) => new ByteLog(from, new FrameFiles({ offsets, ends: parseVector(position), fileOf }));
  const state = rolled(repo, history, base, open);
  if (state === undefined) return false;
  const { sink } = state.log;
  sink.finish();
  sink.close();
  const finder = new ChunkFinder(repo, base);
  for (const [number, { file }] of sink.shards) {
    const { entry, origin } = shards.get(number) ?? {};
    const files = ['1.incr.aof seq 1 type i', '2.incr.aof seq 2 type i'];
    if (entry !== undefined) {
      writeContent(finder, entry, at(number, '1.base.rdb'));
      syncFile(at(number, '1.base.rdb'));
      files.unshift('1.base.rdb seq 1 type b');
    }
    moveExpiry(at(number, '2.incr.aof'), Math.max(0, Date.now() - atMs));
    writeText(at(number, 'manifest'), files.map((name) => `file appendonly.aof.${name}\n`).join(''));
    writeText(path.join(homeOf(number), 'redis.conf'), redisConf(homeOf(number), file.scanner.databases));
    const had = origin === undefined || origin.slots === '' ? 'none' : safe(origin.slots);
    tell(`${store}: shard ${number} is in ${safe(homeOf(number))}; at its base it had the slots ${had}`);
  }
  tell(`${store}: each folder is that of a server, with the keys of one master, up to ${safe(position.resume)}`);
  tell(
    `${store}: to make a cluster, start each with cluster-enabled yes too, say CLUSTER MEET to one of them for the others, and run redis-cli --cluster fix`,
  );
  return true;
}

/** Restores a data folder on which Redis starts with the state at the position: its base as an RDB, its log as an append-only file. */
function restoreRedis(repo, history, base, { target, atMs }) {
  const { store, position } = base;
  const folder = path.join(target, store);
  fs.mkdirSync(path.join(folder, 'appendonlydir'), { recursive: true, mode: 0o700 });
  const at = (name) => path.join(folder, 'appendonlydir', `appendonly.aof.${name}`);
  const restoreInto = () => {
    const finder = new ChunkFinder(repo, base);
    const shards = shardsOf(finder);
    if (shards.size > 0) {
      fs.rmdirSync(path.join(folder, 'appendonlydir'));
      return restoreShards(repo, history, { base, shards }, { folder, atMs });
    }
    const entry = findEntry(finder, 'dump.rdb') ?? fail('its dump.rdb is lost');
    const origin = parseOrigin(entry);
    const open = (from) => new ByteLog(from, new CommandFile(at('1.incr.aof')));
    const state = rolled(repo, history, base, open);
    if (state === undefined) return false;
    const { sink } = state.log;
    sink.finish();
    sink.close();
    const { end, databases } = sink.scanner;
    const bytes = writeContent(finder, entry, at('1.base.rdb'));
    syncFile(at('1.base.rdb'));
    moveExpiry(at('2.incr.aof'), Math.max(0, Date.now() - atMs));
    const files = ['1.base.rdb seq 1 type b', '1.incr.aof seq 1 type i', '2.incr.aof seq 2 type i'];
    writeText(at('manifest'), files.map((file) => `file appendonly.aof.${file}\n`).join(''));
    writeText(path.join(folder, 'redis.conf'), redisConf(folder, databases));
    tell(`${store}: an RDB of ${bytes} bytes and ${end} bytes of commands, up to ${safe(position.resume)}`);
    tell(`${store}: start it with: redis-server ${safe(path.join(folder, 'redis.conf'))}`);
    tell(`${store}: it was ${safe(origin.server)} ${safe(origin.version)}: that version or a newer one reads it`);
    tell(
      `${store}: who moves the folder names its new place in redis.conf; who runs the server as another user gives it the files first (chown -R)`,
    );
    tell(
      `${store}: a key with a time to live has what it had left at the mark; redis.conf says how to leave it as it was`,
    );
    return true;
  };
  const isThere = orDamaged(store, restoreInto) === true;
  if (!isThere) fs.rmSync(folder, { recursive: true });
  return isThere;
}

function redisConf(folder, databases) {
  const quoted = safe(folder).replace(/"/g, '\\x22');
  return `# The least that Redis 7 or newer needs to start on this folder. Add what your server had: requirepass, TLS, modules.
# It must be started with appendonly yes: without, Redis begins with nothing.
dir "${quoted}"
bind 127.0.0.1 -::1
appendonly yes
appenddirname "appendonlydir"
appendfilename "appendonly.aof"
# More where the server had more; Redis does not start when there are fewer than dump.rdb uses.
databases ${databases}
# Keys with a time to live have the time that they had left at the mark, counted from when the kit ran. So that they expire
# when they would have instead, remove the last line of appendonlydir/appendonly.aof.manifest before the first start.
`;
}

// ── PostgreSQL (postgres.md) ────────────────────────────────────────────────────────────────────────────────────────

/** The names on the path of an entry. @throws Damage for a path that could lead out of the data directory */
function partsOf(name) {
  const parts = name.toString('latin1').split('/');
  const isRight = parts.every((part) => !['', '.', '..'].includes(part) && !part.includes('\0'));
  need(isRight, `the name ${safe(name)} is not allowed`);
  return parts;
}

function parseFile({ attributes, bytes }) {
  const what = 'what is said of a file';
  need(isUtf8(attributes), `${what} is not UTF-8`);
  const parse = () => JSON.parse(attributes.toString());
  const values = attempt(parse, () => fail(`${what} is not JSON`));
  const [letter, ...numbers] = Array.isArray(values) ? values : [];
  const type = own({ f: 'file', d: 'folder' }, letter);
  const isRight = type !== undefined && numbers.length === 3 && numbers.every(FIELD_TYPES.count);
  need(isRight && (type === 'file' || bytes === 0), `${what} is not well formed`);
  return { type, mode: numbers[0] & 0o777, mtimeS: numbers[2] };
}

const parseLsn = (text) => {
  const [, high, low] = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text) ?? fail(`${safe(text)} is no place in a log`);
  return BigInt(`0x${high}`) * 2n ** 32n + BigInt(`0x${low}`);
};
const hex8 = (value) => value.toString(16).toUpperCase().padStart(8, '0');
const lsnText = (lsn) => [lsn >> 32n, lsn & 0xffffffffn].map((half) => half.toString(16).toUpperCase()).join('/');

/** The resume token of a position: the timeline that wrote what lies before it, and the place. */
function parsePlace({ resume }) {
  const [, timeline, lsn] = /^([1-9]\d{0,9})\/(.+)$/.exec(resume) ?? fail(`${safe(resume)} is no place in a log`);
  return { timeline: Number(timeline), lsn: parseLsn(lsn) };
}

/** Numbers in global/pg_control lie around the number 1234567.0, by which a server knows its own format; those that follow it are sizes. */
function parseControl(bytes) {
  const at = bytes.indexOf(hex('0000000087d63241'), 160);
  need(at > 0 && at % 8 === 0 && at + 24 <= bytes.length, 'global/pg_control is not one of PostgreSQL 13 to 18');
  const [pageBytes, segmentBytes] = [bytes.readUInt32LE(at + 16), bytes.readUInt32LE(at + 20)];
  const isRight = [pageBytes, segmentBytes].every((size) => size >= 1024 && (size & (size - 1)) === 0);
  need(isRight && segmentBytes <= 2 ** 30, 'global/pg_control holds sizes that can’t be');
  return { pageBytes, segmentBytes, mostPrepared: bytes.readInt32LE(at - 16) };
}

const WAL_NAME = /^[0-9A-F]{24}$/;
const HISTORY_NAME = /^[0-9A-F]{8}\.history$/;
const SEGMENT_HEADER_BYTES = 40;
const PAGE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 24;

/** The files of a log in `pg_wal`. A segment in which the timeline changes has the name of the later one. */
class WalFiles {
  constructor(folder, { segmentBytes, pageBytes }, timeline) {
    this.folder = folder;
    this.pageBytes = pageBytes;
    this.segmentBytes = segmentBytes;
    this.segmentSize = BigInt(segmentBytes);
    /** By number: the file's name, and the file while it is written to. */
    this.names = new Map();
    this.open = undefined;
    this.timeline = timeline;
    this.bytes = 0;
  }

  nameOf(timeline, number) {
    const perId = 2n ** 32n / this.segmentSize;
    return [BigInt(timeline), number / perId, number % perId].map(hex8).join('');
  }

  /** A file that the base has. */
  know(name) {
    const perId = 2n ** 32n / this.segmentSize;
    const number = BigInt(`0x${name.slice(8, 16)}`) * perId + BigInt(`0x${name.slice(16)}`);
    if (name > (this.names.get(number) ?? '')) this.names.set(number, name);
  }

  write(start, bytes, resume) {
    const { timeline } = parsePlace({ resume });
    if (timeline !== this.timeline) this.switchTo(timeline, start);
    this.timeline = timeline;
    for (let at = 0; at < bytes.length; ) {
      const lsn = start + BigInt(at);
      const offset = Number(lsn % this.segmentSize);
      const part = bytes.subarray(at, at + this.segmentBytes - offset);
      this.use(lsn / this.segmentSize, offset, timeline);
      writeAt(this.open.file, part, offset);
      at += part.length;
    }
    this.bytes += bytes.length;
  }

  /** Opens a segment under the name that it has on a timeline. One that is begun in its middle must be there. */
  use(number, offset, timeline) {
    const name = this.nameOf(timeline, number);
    if (this.open?.number === number && this.names.get(number) === name) return;
    this.close();
    const before = this.names.get(number);
    need(
      before !== undefined || offset === 0,
      `the log begins at ${lsnText(number * this.segmentSize + BigInt(offset))}, in the middle of a file`,
    );
    if (before !== undefined && before !== name)
      fs.renameSync(path.join(this.folder, before), path.join(this.folder, name));
    this.names.set(number, name);
    const file = fs.openSync(path.join(this.folder, name), fs.constants.O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
    this.open = { number, file };
    fs.ftruncateSync(file, this.segmentBytes);
  }

  /** Writes where the new timeline comes from, unless the base says it. */
  switchTo(timeline, lsn) {
    need(timeline > this.timeline, `the log goes back from timeline ${this.timeline} to ${timeline}`);
    const place = (of) => path.join(this.folder, `${hex8(of)}.history`);
    const isThere = (of) => fs.existsSync(place(of));
    if (isThere(timeline)) return;
    const before = isThere(this.timeline) ? fs.readFileSync(place(this.timeline), 'latin1').replace(/\n*$/, '\n') : '';
    writeText(place(timeline), `${before}${this.timeline}\t${lsnText(lsn)}\tas the log in the repository says\n`);
  }

  /** There is nothing at and behind `end`. */
  cut(end) {
    // The server wants to know where its timeline comes from, though what came before the base does not matter.
    const history = path.join(this.folder, `${hex8(this.timeline)}.history`);
    if (this.timeline > 1 && !fs.existsSync(history)) writeText(history, '# Not in the repository.\n');
    for (const [number, name] of this.names) {
      const start = number * this.segmentSize;
      if (start + this.segmentSize <= end) continue;
      this.close();
      const place = path.join(this.folder, name);
      if (start >= end) fs.unlinkSync(place);
      if (start >= end) this.names.delete(number);
      else fs.truncateSync(place, Number(end - start));
      if (start < end) fs.truncateSync(place, this.segmentBytes);
    }
  }

  close() {
    if (this.open !== undefined) fs.closeSync(this.open.file);
    this.open = undefined;
  }

  /** The page that begins at `lsn`. */
  page(lsn) {
    const number = lsn / this.segmentSize;
    const name = this.names.get(number) ?? fail(`the log has no byte at ${lsnText(lsn)}`);
    if (this.open?.number !== number) {
      this.close();
      this.open = { number, file: fs.openSync(path.join(this.folder, name), fs.constants.O_RDWR | O_NOFOLLOW) };
    }
    return readAt(this.open.file, Number(lsn % this.segmentSize), this.pageBytes);
  }

  patch(lsn, bytes) {
    this.page(lsn - (lsn % BigInt(this.pageBytes)));
    writeAt(this.open.file, bytes, Number(lsn % this.segmentSize));
  }
}

/** Goes through a log from record to record. */
class WalWalk {
  constructor(files, from, end) {
    this.files = files;
    this.end = end;
    this.size = BigInt(files.pageBytes);
    this.go(from);
  }

  go(lsn) {
    this.at = lsn;
    const start = lsn - (lsn % this.size);
    if (lsn < this.end && start !== this.start) {
      this.start = start;
      this.bytes = this.files.page(start);
    }
    const isFirst = start % this.files.segmentSize === 0n;
    const header = BigInt(isFirst ? SEGMENT_HEADER_BYTES : PAGE_HEADER_BYTES);
    if (lsn < start + header) this.at = start + header;
  }

  /** The next `count` bytes of a record with their places; undefined where the log ends before, or gave the record up. */
  take(count) {
    const parts = [];
    for (let left = count; left > 0; ) {
      if (this.at >= this.end) return undefined;
      const offset = Number(this.at - this.start);
      const part = this.bytes.subarray(offset, offset + left);
      parts.push({ lsn: this.at, bytes: part });
      left -= part.length;
      const next = this.at + BigInt(part.length);
      const isNewPage = next === this.start + this.size;
      this.go(next);
      // A crash had cut the record off, and the server went on here with another one.
      if (isNewPage && left > 0 && this.at < this.end && (this.bytes.readUInt16LE(2) & 8) !== 0) return undefined;
    }
    const last = parts.at(-1);
    return last.lsn + BigInt(last.bytes.length) <= this.end ? parts : undefined;
  }

  /** The records up to the end: their bytes, and the parts in which these lie. */
  *records() {
    while (this.at < this.end) {
      this.go((this.at + 7n) & ~7n);
      if (this.at + 4n > this.end) return;
      const size = this.bytes.readUInt32LE(Number(this.at - this.start));
      if (size < RECORD_HEADER_BYTES) return;
      const parts = this.take(size);
      if (parts === undefined) {
        if (this.at >= this.end) return;
        continue;
      }
      const bytes = join(...parts.map((part) => part.bytes));
      yield { bytes, parts };
      const isSwitch = bytes[17] === 0 && (bytes[16] & 0xf0) === 0x40;
      const { segmentSize } = this.files;
      if (isSwitch) this.go((parts.at(-1).lsn / segmentSize + 1n) * segmentSize);
    }
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

function crc32c(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC_TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/**
 * Replayed as it stands, a record that creates a tablespace would take a folder of the old host, which may be one that a
 * living server uses on this one. With an empty path the tablespace becomes a folder in pg_tblspc. Returns how many there are.
 */
function takeTablespacesIn(files, from, end) {
  let count = 0;
  for (const { bytes, parts } of new WalWalk(files, from, end).records()) {
    if (bytes[17] !== 5 || (bytes[16] & 0xf0) !== 0) continue;
    // The main data stand at the end, behind headers that say what they are.
    let at = RECORD_HEADER_BYTES;
    for (const skipped of [253, 252]) if (bytes[at] === skipped) at += skipped === 253 ? 3 : 5;
    at += bytes[at] === 255 ? 2 : 5;
    bytes.fill(0, at + 4);
    bytes.writeUInt32LE(crc32c(join(bytes.subarray(RECORD_HEADER_BYTES), bytes.subarray(0, 20))), 20);
    let done = 0;
    for (const part of parts) {
      files.patch(part.lsn, bytes.subarray(done, done + part.bytes.length));
      done += part.bytes.length;
    }
    count += 1;
  }
  return count;
}

/** What a base holds of the server that it was taken from and that must not, or need not, be in another one's folder. */
const NOT_OF_RESTORED = [
  'backup_manifest',
  'postmaster.opts',
  'postmaster.pid',
  'recovery.done',
  'recovery.signal',
  'standby.signal',
  'tablespace_map',
];

/** Writes the entries of a base that `isWanted`, by their path, into a data directory. */
class DataDirectory {
  constructor(finder, folder) {
    this.finder = finder;
    this.folder = folder;
    this.store = finder.base.store;
    this.made = new Set(['']);
    this.entries = 0;
    this.bytes = 0;
    this.lost = 0;
  }

  lose(what, error) {
    damaged(`${this.store}: ${what}`, error);
    this.lost += 1;
  }

  add(range, isWanted) {
    for (const entry of leavesOf(this.finder, range, (what, error) => this.lose(what, error))) {
      const name = entry.name.toString('latin1');
      if (!isWanted(name)) continue;
      try {
        this.write(entry, name, partsOf(entry.name));
        this.entries += 1;
      } catch (error) {
        if (error instanceof Damage) this.lose(safe(entry.name), error);
        else {
          found.unwritten += 1;
          tell(`not written: ${this.store}: ${safe(entry.name)}: ${systemError(error)}`);
        }
      }
    }
  }

  write(entry, name, parts) {
    const { type, mode, mtimeS } = parseFile(entry);
    if (type === 'folder') return this.makeFolder(parts);
    this.makeFolder(parts.slice(0, -1));
    const place = this.at(name);
    this.bytes += writeContent(this.finder, entry, place);
    fs.chmodSync(place, mode);
    fs.utimesSync(place, mtimeS, mtimeS);
    return undefined;
  }

  /** Only folders that were made here are gone through, so that no link is followed. */
  makeFolder(parts) {
    const name = parts.join('/');
    if (this.made.has(name)) return;
    this.makeFolder(parts.slice(0, -1));
    fs.mkdirSync(this.at(name), { mode: 0o700 });
    this.made.add(name);
  }

  at(name) {
    return Buffer.concat([Buffer.from(`${this.folder}/`), Buffer.from(name, 'latin1')]);
  }

  has(name) {
    return fs.existsSync(this.at(name));
  }
}

/** Restores a data directory that PostgreSQL recovers to exactly the position when it is started on it. */
function restorePostgres(repo, history, base, target) {
  const { store, position } = base;
  const folder = path.join(target, store);
  fs.mkdirSync(folder, { mode: 0o700 });
  const restoreInto = () => {
    const finder = new ChunkFinder(repo, base);
    if (base.cut.resume.startsWith('sql/')) return restoreDump(finder, folder);
    const content = (name) => readContent(finder, findEntry(finder, name) ?? fail(`its ${name} is lost`), MIB);
    const control = parseControl(content('global/pg_control'));
    const version = content('PG_VERSION').toString('latin1').trim();
    const label = content('backup_label').toString('latin1');
    const redo = parseLsn(/^START WAL LOCATION: (\S+)/m.exec(label)?.[1] ?? '');
    const { timeline, lsn: end } = parsePlace(position);
    const directory = new DataDirectory(finder, folder);
    const places = [];
    const log = () => {
      // Also when the log is begun anew.
      fs.rmSync(path.join(folder, 'pg_wal'), { recursive: true, force: true });
      for (const name of [...directory.made]) if (name.startsWith('pg_wal')) directory.made.delete(name);
      for (const name of ['pg_wal', 'pg_wal/archive_status']) directory.makeFolder(name.split('/'));
      const isLog = (name) => WAL_NAME.test(name.slice(7)) || HISTORY_NAME.test(name.slice(7));
      directory.add({ from: Buffer.from('pg_wal/'), until: Buffer.from('pg_wal0') }, isLog);
      const files = new WalFiles(path.join(folder, 'pg_wal'), control, parsePlace(base.logFrom).timeline);
      for (const name of fs.readdirSync(files.folder)) if (WAL_NAME.test(name)) files.know(name);
      places.push(files);
      return new ByteLog(base, files);
    };
    const state = rolled(repo, history, base, log);
    if (state === undefined) return false;
    const files = places.at(-1);
    files.cut(end);
    const created = takeTablespacesIn(files, redo, end);
    files.close();
    const isOfBase = (name) =>
      !NOT_OF_RESTORED.includes(name) &&
      !name.startsWith('pg_wal/') &&
      !name.startsWith('pg_replslot/') &&
      name !== 'pg_wal';
    directory.add(rangeOf(NO_NAME), isOfBase);
    for (const name of ['pg_replslot', 'pg_tblspc']) directory.makeFolder([name]);
    const inPlace = created + fs.readdirSync(path.join(folder, 'pg_tblspc')).length;
    putSettings(directory, { control, version, timeline, position, inPlace });
    tellOfPostgres(directory, { version, position, inPlace, files });
    return true;
  };
  const isThere = orDamaged(store, restoreInto) === true;
  if (!isThere) fs.rmSync(folder, { recursive: true });
  return isThere;
}

/** Restores a base that is plain SQL: a file, to be given to a server. */
function restoreDump(finder, folder) {
  const { store } = finder.base;
  const place = path.join(folder, 'dump.sql');
  const bytes = writeContent(finder, findEntry(finder, 'dump.sql') ?? fail('its dump.sql is lost'), place);
  syncFile(place);
  tell(
    `${store}: ${bytes} bytes of SQL as pg_dumpall writes it; into a new server: psql -d postgres -f ${safe(place)}`,
  );
  return true;
}

/** What makes a plain start recover to the end of the log, and go on from there as a server of its own. */
function putSettings(directory, { control, version, timeline, position, inPlace }) {
  writeText(path.join(directory.folder, 'recovery.signal'), '');
  const settings = {
    restore_command: 'false',
    recovery_end_command: '',
    recovery_target: '',
    recovery_target_lsn: '',
    recovery_target_name: '',
    recovery_target_time: '',
    recovery_target_xid: '',
    recovery_target_timeline: timeline,
    recovery_min_apply_delay: '0',
    // Nobody can look into it before it is there, and so it needs no settings as large as those of the old server.
    hot_standby: 'off',
    ...(inPlace > 0 && { allow_in_place_tablespaces: 'on' }),
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
  const comment = `# Of Tidemark's recovery kit, for the recovery to ${position.resume}: not needed once it has ended.\n`;
  fs.appendFileSync(path.join(directory.folder, 'postgresql.auto.conf'), `\n${comment}${lines.join('')}`, {
    mode: 0o600,
  });
  const ownFiles = {
    'postgresql.conf': `# The old server had its own elsewhere (Debian: /etc/postgresql/${version}).\nmax_prepared_transactions = ${control.mostPrepared}\n`,
    'pg_hba.conf': '# The old server had its own elsewhere. TYPE DATABASE USER METHOD\nlocal all all peer\n',
    'pg_ident.conf': '',
  };
  for (const [name, text] of Object.entries(ownFiles)) {
    if (directory.has(name)) continue;
    writeText(path.join(directory.folder, name), text);
    tell(`${directory.store}: made ${name}, of which there was none in the data directory`);
  }
}

function tellOfPostgres({ store, folder, entries, bytes, lost }, { version, position, inPlace, files }) {
  const place = safe(folder);
  tell(`${store}: ${entries} entries, ${bytes} bytes, and ${files.bytes} bytes of log up to ${safe(position.resume)}`);
  if (lost > 0)
    tell(
      `${store}: ${lost} of its entries are lost: what the server says of their tables may be wrong, or it may not start`,
    );
  tell(
    `${store}: PostgreSQL ${version} recovers it when it is started: it must be exactly this version, on the same kind of machine`,
  );
  tell(`${store}: first give it to the user who runs the server: chown -R postgres:postgres ${place}`);
  tell(`${store}: then start it as that user: pg_ctl -D ${place} start`);
  tell(
    `${store}: its settings are those of the old server: see that archive_command does not write where that one does`,
  );
  tell(`${store}: afterwards the lines of the recovery kit at the end of postgresql.auto.conf can go`);
  if (inPlace > 0)
    tell(
      `${store}: its ${inPlace} tablespaces are folders in pg_tblspc; PostgreSQL 13 and 14 take these from 13.8 and 14.5 on`,
    );
}

// ── Commands ────────────────────────────────────────────────────────────────────────────────────────────────────────

function list(repo) {
  const history = readHistory(repo);
  print(`repository ${repo.header.id}, format ${repo.header.version}, created ${timeText(repo.header.createdAtMs)}`);
  print(`head fingerprint ${history.fingerprint} of ${history.heads} heads: compare it with the last one written down`);
  const shown = history.marks.filter(({ isForgotten }) => !isForgotten);
  for (const mark of shown) {
    const name = mark.name === undefined ? '' : `  "${safe(mark.name)}"`;
    const tags = (mark.tags ?? []).map((tag) => `  #${safe(tag)}`).join('');
    const state = mark.missing.length + mark.lacking.length === 0 ? 'complete' : 'partial';
    const pin = mark.isPinned ? '  pinned' : '';
    print(
      `\n${mark.id}  ${timeText(mark.atMs)}  ${state}, ${safe(mark.class)} within ${mark.skewMs} ms${name}${tags}${pin}`,
    );
    for (const { store, base } of basesOf(repo, mark)) {
      print(`  ${safe(store).padEnd(20)} ${baseText(repo, base)}`);
    }
    for (const store of mark.missing) print(`  ${safe(store).padEnd(20)} is not in this mark`);
  }
  const { latest } = history;
  const hours = ((Date.now() - (latest?.atMs ?? 0)) / 3_600_000).toFixed(1);
  print(latest === undefined ? '\nthere is no complete mark' : `\nlatest is ${latest.id}, ${hours} hours old`);
  const hidden = history.marks.length - shown.length;
  if (hidden > 0) print(`not shown: ${hidden} marks that retention gave up; parts of them may be gone`);
}

/** Says whether all objects of a base and its log are there; whether they are whole only restore and verify can say. */
function baseText(repo, base) {
  if (base === undefined) return 'DAMAGED';
  const { store, entries, bytes, connector, credential, packs, segments, position } = base;
  const packsOf = (ids) =>
    Array.from(
      { length: ids.length / 32 },
      (_, at) => `packs/${credential.id}/${ids.toString('hex', at * 32, at * 32 + 32)}`,
    );
  const isAbsent = (key) => fs.lstatSync(path.join(repo.folder, key), { throwIfNoEntry: false })?.isFile() !== true;
  const keys = packsOf(packs);
  const absent = keys.filter(isAbsent).length;
  if (absent > 0) damaged(store, new Damage(`${absent} of the ${keys.length} packs of ${base.key} are missing`));
  const ofLog = segments.flatMap((segment) => [placeOf(segment), ...packsOf(base64(segment.packs ?? ''))]);
  const lost = [...new Set(ofLog)].filter(isAbsent);
  for (const key of lost) damaged(store, new Damage(`${key} of its log is missing`));
  const lack = absent + lost.length === 0 ? '' : '  DAMAGED';
  const log =
    segments.length === 0 ? '' : `, and ${segments.length} segments of its log up to ${safe(position.resume)}`;
  return `${String(entries).padStart(10)} entries ${String(bytes).padStart(14)} bytes  ${safe(connector)}${log}${lack}`;
}

const KNOWN = ['files', 'embedded', 'redis', 'postgres'];
/** Their logs are bytes, which only their servers understand. */
const SERVERS = ['redis', 'postgres'];

function onlyKnown({ store, connector }) {
  if (KNOWN.includes(connector)) return;
  stop(1, `${store} was backed up by the connector "${safe(connector)}", this kit knows ${KNOWN.join(', ')}`);
}

function ls(repo, markText, store, pathText = '') {
  const history = readHistory(repo);
  const mark = findMark(history, markText, [store]);
  const standing = basesOf(repo, mark).find((other) => other.store === store)?.base;
  if (standing !== undefined) onlyKnown(standing);
  const isServer = SERVERS.includes(standing?.connector);
  const base = isServer ? standing : standing && rolled(repo, history, standing);
  if (base === undefined) stop(found.damage > 0 ? 5 : 4, `there is no ${safe(store)} in the mark ${mark.id}`);
  if (isServer) return listOfServer(repo, base, bytesOf(pathText));
  if (base.connector === 'embedded') return listKeysOf(repo, base, bytesOf(pathText));
  const name = nameOf(pathText);
  const range = rangeOf(name);
  let isThere = false;
  for (const entry of entriesOf(new ChunkFinder(repo, base), range, (what, error) =>
    damaged(`${store}: ${what}`, error),
  )) {
    if (!entry.name.equals(name) && !isBelow(entry.name, name)) continue;
    isThere = true;
    const attributes = orDamaged(
      `${store}: ${nameText(entry.name)}`,
      () => pathOf(entry.name) && parseAttributes(entry),
    );
    if (attributes === undefined) continue;
    const isFolder = attributes.type === 'folder';
    if (isFolder && entry.name.equals(name)) continue;
    printEntry(entry.name, attributes);
    // What a folder inside this one holds is passed over.
    if (isFolder) range.from = rangeOf(entry.name).until;
  }
  if (!isThere) stop(found.damage > 0 ? 5 : 4, `${store} holds nothing of the name ${nameText(name)}`);
  return undefined;
}

function printEntry(name, { type, mode, uid, gid, size, seconds, nanoseconds, target }) {
  const micros = String(Math.floor(nanoseconds / 1000)).padStart(6, '0');
  const time = timeText(seconds * 1000).replace('.000Z', `.${micros}Z`);
  const arrow = target === undefined ? '' : ` -> ${safe(target)}`;
  const columns = [
    type.padEnd(6),
    mode.toString(8).padStart(4, '0'),
    `${uid}:${gid}`.padEnd(11),
    String(size).padStart(14),
  ];
  print(`${columns.join(' ')} ${time} ${safe(name.subarray(name.lastIndexOf(0) + 1))}${arrow}`);
}

function restore(repo, { mark: markText, folder, stores, only }) {
  const history = readHistory(repo);
  const mark = findMark(history, markText, stores);
  const chosen = basesOf(repo, mark).filter(({ store }) => stores.length === 0 || stores.includes(store));
  const unknown = stores.find((store) => !chosen.some((other) => other.store === store));
  if (unknown !== undefined) stop(4, `there is no store ${safe(unknown)} in the mark ${mark.id}`);
  const bases = chosen.flatMap(({ base }) => base ?? []);
  bases.forEach(onlyKnown);
  const server = bases.find(({ connector }) => SERVERS.includes(connector));
  if (only !== undefined && server !== undefined)
    stop(2, `${server.store} is restored whole: name the stores that --only is for`);
  const target = path.resolve(folder);
  const refuseInside = (place) => {
    if (`${place}/`.startsWith(`${repo.folder}/`)) stop(2, `${target} is inside the repository; choose another folder`);
  };
  refuseInside(target);
  for (const { store } of bases) {
    const isTaken = fs.lstatSync(path.join(target, store), { throwIfNoEntry: false }) !== undefined;
    if (isTaken) stop(2, `${path.join(target, store)} is there already; choose another folder`);
  }
  fs.mkdirSync(target, { recursive: true });
  refuseInside(fs.realpathSync(target));
  const notes = path.join(target, 'restore-notes.txt');
  found.log = fs.openSync(notes, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
  tell(`restoring the mark ${mark.id} of ${timeText(mark.atMs)} into ${target}`);
  const name = nameOf(only ?? '');
  const restoreOne = (base) => {
    if (base.connector === 'redis') return restoreRedis(repo, history, base, { target, atMs: mark.atMs });
    if (base.connector === 'postgres') return restorePostgres(repo, history, base, target);
    const state = rolled(repo, history, base);
    if (state === undefined) return false;
    const restoreState = state.connector === 'embedded' ? restoreKeys : restoreFiles;
    const isSome = restoreState(repo, state, target, state.connector === 'embedded' ? bytesOf(only ?? '') : name);
    state.log.close();
    return isSome;
  };
  const isThere = bases.map(restoreOne).includes(true);
  if (!isThere && found.damage === 0) stop(4, `there is nothing of the name ${nameText(name)} in the mark ${mark.id}`);
  for (const store of stores.length === 0 ? mark.missing : []) {
    found.unwritten += 1;
    tell(`not written: ${safe(store)}: it is not in this mark`);
  }
  for (const [kind, count] of found.unset) tell(`not set: ${kind}: ${count}`);
  tell(`the full list is in ${notes}`);
}

/** Restores one store, or what it has at and below `name`, into a new folder. Returns whether something of it is there. */
function restoreFiles(repo, base, target, name) {
  const { store } = base;
  const finder = new ChunkFinder(repo, base);
  fs.mkdirSync(path.join(target, store), { mode: 0o700 });
  process.chdir(path.join(target, store));
  const writer = new TreeWriter(finder, path.join(target, `${store}.setfattr`));
  let isThere = false;
  try {
    for (const range of rangesOf(name)) {
      for (const entry of entriesOf(finder, range, (what, error) => writer.lose(what, error))) {
        writer.add(entry);
        isThere ||= entry.name.equals(name);
      }
    }
  } catch (error) {
    damaged(`${store}: the rest of this store is refused`, error);
  } finally {
    writer.finish();
    process.chdir(target);
  }
  for (const { name: skipped, reason } of base.skipped) {
    tell(`never was in the backup: ${store}: ${nameText(base64(skipped))}: ${safe(reason)}`);
  }
  tell(`${store}: ${writer.entries} entries, ${writer.bytes} bytes`);
  return isThere;
}

// ── Keys and values (docs/formats/embedded-store.md) ────────────────────────────────────────────────────────────────

/** What is stored of a value besides its content: when it expires, and the value itself where it is small. */
function parseValue({ attributes, runs }) {
  const flags = attributes[0];
  need(flags !== undefined && flags <= 3, 'a value is described in a way that this kit does not know');
  const valueAt = flags & 1 ? 9 : 1;
  need(attributes.length >= valueAt, 'a value’s description ends too early');
  const isInline = (flags & 2) !== 0;
  need(isInline ? runs.length === 0 : attributes.length === valueAt, 'a value is described twice');
  return {
    expiresAtMs: flags & 1 ? Number(attributes.readBigUInt64LE(1)) : null,
    inline: isInline ? attributes.subarray(valueAt) : undefined,
  };
}

function wholeValue(finder, { inline }, runs) {
  if (inline !== undefined) return inline;
  const pieces = [];
  for (const { id, bytes } of chunksOf(finder, runs)) {
    const piece = finder.read(0, id);
    need(piece.length === bytes, 'a chunk has another size than its value says');
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function listKeysOf(repo, base, prefix) {
  const finder = new ChunkFinder(repo, base);
  let isThere = prefix.length === 0;
  const lost = (what, error) => damaged(`${base.store}: ${what}`, error);
  for (const entry of entriesOf(finder, { from: prefix, until: undefined }, lost)) {
    if (!entry.name.subarray(0, prefix.length).equals(prefix)) break;
    isThere = true;
    const value = orDamaged(`${base.store}: ${safe(entry.name)}`, () => parseValue(entry));
    if (value === undefined) continue;
    const size = value.inline?.length ?? sumOf(entry.runs);
    const expiry = value.expiresAtMs === null ? '' : `  expires ${timeText(value.expiresAtMs)}`;
    print(`${String(size).padStart(14)} ${safe(entry.name)}${expiry}`);
  }
  if (!isThere) stop(found.damage > 0 ? 5 : 4, `${base.store} holds no key that begins with ${safe(prefix)}`);
}

const EMBEDDED_TABLES = `
  PRAGMA application_id = ${0x544d4b56};
  CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL, created INTEGER NOT NULL, expires_at INTEGER)
    STRICT, WITHOUT ROWID;
  CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL;
  CREATE TABLE changes (revision INTEGER PRIMARY KEY, begin INTEGER, at_ms INTEGER NOT NULL, key BLOB NOT NULL, value BLOB, previous BLOB,
    expires_at INTEGER) STRICT;
  INSERT INTO meta (name, value) VALUES ('format', 1), ('lineage', lower(hex(randomblob(16)))), ('floor', 1);
`;

/** Restores the keys that begin with `prefix` into a new embedded store. Returns whether there are any; of all keys there may be none. */
function restoreKeys(repo, base, target, prefix) {
  const { store } = base;
  const finder = new ChunkFinder(repo, base);
  const database = new DatabaseSync(path.join(target, store));
  let [entries, bytes] = [0, 0];
  try {
    database.exec(`PRAGMA journal_mode = OFF; BEGIN; ${EMBEDDED_TABLES}`);
    const insert = database.prepare(
      'INSERT INTO entries (key, value, revision, created, expires_at) VALUES (?, ?, 1, 1, ?)',
    );
    const lost = (what, error) => damaged(`${store}: ${what}`, error);
    for (const entry of entriesOf(finder, { from: prefix, until: undefined }, lost)) {
      if (!entry.name.subarray(0, prefix.length).equals(prefix)) break;
      orDamaged(`${store}: ${safe(entry.name)}`, () => {
        const described = parseValue(entry);
        const value = wholeValue(finder, described, entry.runs);
        insert.run(entry.name, value, described.expiresAtMs);
        entries += 1;
        bytes += value.length;
      });
    }
    database.exec('COMMIT');
  } catch (error) {
    damaged(`${store}: the rest of this store is refused`, error);
  } finally {
    database.close();
  }
  syncFile(path.join(target, store));
  tell(`${store}: ${entries} keys, ${bytes} bytes`);
  return entries > 0 || prefix.length === 0;
}

/**
 * Reads every byte that something could be restored from: all records, all packs with all their chunks, and the trees of
 * all bases. The index (section 12) is not read: it only saves time, and this kit does without.
 */
function verify(repo) {
  const history = readHistory(repo, true);
  const state = { badBlocks: new Set(), packs: 0, chunks: 0, bytes: 0, bases: 0, entries: 0, changes: 0 };
  const connectors = new Map();
  for (const folder of listKeys(repo, 'packs', ID)) {
    const credential = repo.credentials.get(folder.slice('packs/'.length));
    for (const key of listKeys(repo, folder, PACK_NAME)) {
      orDamaged(key, () =>
        verifyPack(openPack(repo, credential ?? { id: folder.slice(6) }, key.slice(-64)), credential, state),
      );
    }
  }
  for (const [key, { history: name }] of history.bases) {
    orDamaged(key, () => connectors.set(name, verifyBase(repo, history, key, state)));
  }
  for (const segment of history.segments) {
    const marks = marksOn(history, ({ plan }) => plan?.segments.includes(segment));
    orDamaged(placeOf(segment), () => {
      const where = `${placeOf(segment)} of ${segment.store} (${marks})`;
      verifySegment(repo, segment, { where, connector: connectors.get(segment.history), state });
    });
  }
  for (const key of new Set(history.segments.map((segment) => segment.key))) {
    orDamaged(key, () => verifyInline(repo, key));
  }
  print(
    `read ${history.records.size} records, ${state.packs} packs with ${state.chunks} chunks of ${state.bytes} bytes`,
  );
  print(`${state.bases} bases with ${state.entries} entries`);
  print(`${history.segments.length} segments of logs with ${state.changes} changes`);
  print(found.damage === 0 ? 'everything is whole' : `damage: ${found.damage}; what is not named can be restored`);
}

function verifyPack(pack, credential, state) {
  try {
    for (const block of pack.blocks) {
      const name = `${pack.key}/${block.index}`;
      state.badBlocks.add(name);
      orDamaged(`${pack.key}, block ${block.index}`, () => {
        const plain = openBlock(pack, block);
        for (const chunk of block.chunks) takeChunk(credential, chunk, plain);
        state.badBlocks.delete(name);
      });
      state.chunks += block.chunks.length;
      state.bytes += block.plainBytes;
    }
    need(pack.isNamed, 'the bytes of the pack are not those that its name says');
    state.packs += 1;
  } finally {
    fs.closeSync(pack.file);
  }
}

/** Walks the tree of a base and proves that each chunk that it names is in a good block of its packs. */
function verifyBase(repo, history, key, state) {
  const base = openBase(repo, key);
  const where = `${base.store} (${marksOn(history, ({ plan }) => plan?.base.key === key)})`;
  const finder = goodFinder(repo, base, state);
  for (const entry of entriesOf(finder, rangeOf(NO_NAME), (what, error) => damaged(`${where}: ${what}`, error))) {
    orDamaged(`${where}: ${nameText(entry.name)}`, () => verifyEntry(finder, entry, base.connector));
    state.entries += 1;
  }
  state.bases += 1;
  return base.connector;
}

function verifyEntry(finder, entry, connector) {
  if (connector === 'files') pathOf(entry.name) && parseAttributes(entry);
  if (connector === 'embedded') parseValue(entry);
  if (connector === 'redis') parseOrigin(entry);
  if (connector === 'postgres') partsOf(entry.name) && parseFile(entry);
  for (const { id, bytes } of chunksOf(finder, entry.runs)) {
    const [hit] = finder.places(0, id);
    need(hit?.place.size === bytes, `the chunk ${id.toString('hex')} is missing, damaged or of another size`);
  }
}

/** Reads all frames of a segment, and proves that each chunk that its changes name is in a good block of its packs. */
function verifySegment(repo, segment, { where, connector, state }) {
  const packs = base64(segment.packs ?? '');
  const finder = goodFinder(repo, { credential: repo.credentials.get(segment.credential), packs }, state);
  const isBytes = SERVERS.includes(connector);
  let next = isBytes ? BigInt(segment.after.order) : undefined;
  for (const { order, changes } of transactionsOf(repo, segment)) {
    state.changes += changes.length;
    if (isBytes) next = endOfRuns(changes, next, order);
    for (const change of isBytes ? [] : changes) {
      if (change.attributes === undefined) continue;
      orDamaged(`${where}: ${nameText(change.name)}`, () => verifyEntry(finder, change, connector));
    }
  }
}

/** Where the bytes of a transaction end, which follow on `start` and go up to its order. */
function endOfRuns(changes, start, order) {
  let next = start;
  for (const run of changes.map(parseRun)) {
    need(run.start === next, `it goes on at ${run.start}, not at ${next}`);
    next += BigInt(run.bytes.length);
  }
  need(next === BigInt(order), `its bytes end at ${next}, not at ${order}`);
  return next;
}

/** The frames in a record are those of its segments and no others. */
function verifyInline(repo, key) {
  const record = readRecord(repo, key);
  const { segments = [] } = openSection(repo, record, 'maintenance', 'segments:list?');
  const size = sumOf(
    segments.filter(({ body }) => body === undefined),
    'storedBytes',
  );
  const stored = record.bodies[record.sections.indexOf('frames')]?.length ?? 0;
  need(stored === size, 'it does not hold the frames that it names');
}

function goodFinder(repo, base, state) {
  return new ChunkFinder(repo, base, (pack, { block }) => !state.badBlocks.has(`${pack.key}/${block.index}`));
}

/** The marks with a part of that kind, as text. */
function marksOn(history, isOne) {
  const marks = history.marks.filter(({ stands }) => stands.some(isOne)).map(({ id }) => id);
  return `${marks.length === 0 ? 'in no mark' : marks.slice(-3).join(', ')}${marks.length > 3 ? ', …' : ''}`;
}

// ── Main ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const COMMANDS = { list: [0, 0], ls: [2, 3], restore: [2, Number.POSITIVE_INFINITY], verify: [0, 0] };

function parseArguments() {
  const options = { only: { type: 'string' }, help: { type: 'boolean', short: 'h' } };
  const parse = () => parseArgs({ allowPositionals: true, options });
  const onError = (error) => stop(2, `${error.message.split('\n')[0]} (see --help)`);
  const { values, positionals } = attempt(parse, onError);
  const [command = '', repository, ...rest] = positionals;
  if (values.help === true) return { command: 'help' };
  if (!Object.hasOwn(COMMANDS, command)) stop(2, `the commands are ${Object.keys(COMMANDS).join(', ')} (see --help)`);
  const [least, most] = COMMANDS[command];
  const isRight = repository !== undefined && rest.length >= least && rest.length <= most;
  if (!isRight) stop(2, `${command} takes other arguments (see --help)`);
  if (values.only !== undefined && command !== 'restore') stop(2, '--only belongs to restore (see --help)');
  const folder = attempt(
    () => fs.realpathSync(repository),
    ({ code }) => stop(7, `can't open ${repository}: ${code}`),
  );
  return { command, folder, rest, only: values.only };
}

async function main() {
  const { command, folder, rest, only } = parseArguments();
  if (command === 'help') return print(USAGE);
  const isNew = crypto.argon2Sync !== undefined && zlib.zstdDecompressSync !== undefined;
  if (!isNew) stop(1, `this is Node ${process.version}; the kit needs 24.7 or newer`);
  const header = readHeader(folder);
  const repo = openRepository(folder, header, await askPassphrase());
  if (command === 'list') list(repo);
  if (command === 'verify') verify(repo);
  if (command === 'ls') ls(repo, ...rest);
  if (command === 'restore') restore(repo, { mark: rest[0], folder: rest[1], stores: rest.slice(2), only });
  process.exitCode = found.damage > 0 ? 5 : found.unwritten > 0 ? 3 : 0;
}

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', (error) => process.exit(error.code === 'EPIPE' ? 0 : 1));
try {
  await main();
} catch (error) {
  process.stderr.write(`tidemark-kit: ${error.message.split('\n')[0]}\n`);
  process.exitCode = error instanceof Stop ? error.exit : error instanceof Damage ? 5 : 1;
}
