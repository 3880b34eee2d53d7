import { toHex } from '../../core/bytes.ts';

/** Kinds of records and the folder of each. */
export const recordFolders = {
  start: 'sessions',
  beat: 'sessions',
  end: 'sessions',
  manifest: 'manifests',
  journal: 'journal',
  void: 'void',
  pin: 'pins',
  unpin: 'unpins',
  proof: 'proofs',
  run: 'runs',
  ledger: 'ledger',
  condemned: 'condemned',
} as const;

export type RecordKind = keyof typeof recordFolders;

export const HEADER_KEY = 'tidemark.json';

export function counterText(counter: number): string {
  return counter.toString(16).padStart(8, '0');
}

/** The key of a record. `number` is the counter, or for beats and condemned lists their own number. */
export function recordKey(kind: RecordKind, session: string, number: number): string {
  if (kind === 'end') return `sessions/${session}/end`;
  if (kind === 'start' || kind === 'beat') return `sessions/${session}/${counterText(number)}`;
  return `${recordFolders[kind]}/${session}-${counterText(number)}`;
}

export function packKey(credential: string, packId: Uint8Array): string {
  return `packs/${credential}/${toHex(packId)}`;
}

export function indexKey(credential: string, session: string, number: number): string {
  return `index/${credential}/${session}-${counterText(number)}`;
}

/** Whether an object has the name of a key slot or a certificate: an id. Any other there is foreign. */
export function isIdKey(folder: 'keys' | 'credentials', key: string): boolean {
  return key.startsWith(`${folder}/`) && /^[0-9a-f]{32}$/.test(key.slice(folder.length + 1));
}

export type RecordName = { readonly folder: string; readonly session: string; readonly number: number | 'end' };

/** Reads the name of a record's object; undefined for a foreign one. */
export function parseRecordKey(key: string): RecordName | undefined {
  const beat = /^sessions\/([0-9a-f]{32})\/(?:([0-9a-f]{8})|end)$/.exec(key);
  if (beat?.[1] !== undefined) {
    return {
      folder: 'sessions',
      session: beat[1],
      number: beat[2] === undefined ? 'end' : Number.parseInt(beat[2], 16),
    };
  }
  const record = /^([a-z]+)\/([0-9a-f]{32})-([0-9a-f]{8})$/.exec(key);
  if (record?.[1] === undefined || record[2] === undefined || record[3] === undefined) return undefined;
  return { folder: record[1], session: record[2], number: Number.parseInt(record[3], 16) };
}

/** The credential and the id of a pack's object; undefined for a foreign one. */
export function parsePackKey(key: string): { readonly credential: string; readonly packId: string } | undefined {
  const match = /^packs\/([0-9a-f]{32})\/([0-9a-f]{64})$/.exec(key);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { credential: match[1], packId: match[2] };
}

/** Of frames that lie apart; `digest` is the SHA-256 of the object. */
export function bodyKey(credential: string, digest: string): string {
  return `logs/${credential}/${digest}`;
}

/** The credential and digest of frames that lie apart; undefined for a foreign object. */
export function parseBodyKey(key: string): { readonly credential: string; readonly digest: string } | undefined {
  const match = /^logs\/([0-9a-f]{32})\/([0-9a-f]{64})$/.exec(key);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { credential: match[1], digest: match[2] };
}
