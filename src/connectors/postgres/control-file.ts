import { TidemarkError } from '../../core/errors.ts';

/** What `global/pg_control` says of a data directory. */
export type ControlFile = {
  readonly systemIdentifier: bigint;
  readonly timeline: number;
  /** Bytes of a page of the log, and of one of its files. */
  readonly walPageBytes: number;
  readonly segmentBytes: number;
  /** Whether pages have checksums. */
  readonly hasChecksums: boolean;
  /** Settings of the server that wrote it, which whoever goes on from its log must not fall below. */
  readonly settings: Readonly<Record<string, string>>;
};

/** The constant that the server writes to recognise its own format of numbers: 1234567.0. What is around it lies alike in all versions. */
const FLOAT_FORMAT = Buffer.from([0, 0, 0, 0, 0x87, 0xd6, 0x32, 0x41]);
const FIRST_OFFSET = 160;
const WAL_LEVELS = ['minimal', 'replica', 'logical'];

/** Reads the file as PostgreSQL 13 to 18 write it on little-endian machines. @throws REPOSITORY_DAMAGED when it is none */
export function parseControlFile(bytes: Uint8Array): ControlFile {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = file.indexOf(FLOAT_FORMAT, FIRST_OFFSET);
  if (at < 0 || at % 8 !== 0 || at + 48 > file.byteLength) throw damaged();
  const walPageBytes = file.readUInt32LE(at + 16);
  const segmentBytes = file.readUInt32LE(at + 20);
  if (!isPowerOfTwo(walPageBytes) || !isPowerOfTwo(segmentBytes) || segmentBytes < 1 << 20) throw damaged();
  const setting = (offset: number): string => String(file.readInt32LE(at - offset));
  return {
    systemIdentifier: file.readBigUInt64LE(0),
    timeline: file.readUInt32LE(48),
    walPageBytes,
    segmentBytes,
    hasChecksums: file.readUInt32LE(at + 44) !== 0,
    settings: {
      wal_level: WAL_LEVELS[file.readInt32LE(at - 36)] ?? 'replica',
      wal_log_hints: file[at - 32] === 0 ? 'off' : 'on',
      max_connections: setting(28),
      max_worker_processes: setting(24),
      max_wal_senders: setting(20),
      max_prepared_transactions: setting(16),
      max_locks_per_transaction: setting(12),
      track_commit_timestamp: file[at - 8] === 0 ? 'off' : 'on',
    },
  };
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}

function damaged(): TidemarkError {
  return new TidemarkError(
    'REPOSITORY_DAMAGED',
    'global/pg_control of the base is not one that PostgreSQL 13 to 18 write',
  );
}
