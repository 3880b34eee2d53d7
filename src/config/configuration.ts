import type { SecretReference } from '../core/secret-reference.ts';

export type StoreClass = 'source' | 'derived' | 'ephemeral';

/** Part of a store with a class of its own. */
export type DataSetConfiguration = {
  readonly name: string;
  readonly prefix: string | undefined;
  readonly class: StoreClass;
  readonly from: string | undefined;
  readonly rebuild: readonly string[] | undefined;
  readonly restore: 'drop' | 'keep' | 'aside' | undefined;
};

export type StoreConfiguration = {
  readonly name: string;
  /** The name of the connector's kind, as in the registry. */
  readonly kind: string;
  readonly scheme: string;
  /** What follows the scheme; an absolute path where the kind is one of paths. */
  readonly target: string;
  /** `scheme:target`, for people. Holds no secret. */
  readonly url: string;
  readonly class: StoreClass;
  /** Names of stores of the same application, without cycles. */
  readonly references: readonly string[];
  /** Cron; the application's schedule unless the store has its own. */
  readonly bases: string;
  readonly allowEmpty: boolean;
  /** What programs that must run beside the data are called with; empty: they run here. */
  readonly via: readonly string[];
  /** How it is held still for a sealed mark. */
  readonly seal:
    | { readonly pause: readonly string[]; readonly resume: readonly string[]; readonly withinMs: number }
    | undefined;
  readonly dataSets: readonly DataSetConfiguration[];
  /** The connector's own options, checked by its schema and complete. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The store's keys as the manifest has them, without secrets and their sources. */
  readonly written: Readonly<Record<string, unknown>>;
};

export type RepositoryConfiguration = {
  /** An absolute path. */
  readonly url: string;
  readonly passphrase: SecretReference | undefined;
  readonly limits: {
    readonly uploadBytesPerSecond: number | undefined;
    readonly downloadBytesPerSecond: number | undefined;
  };
};

export type RetentionConfiguration = {
  readonly windowMs: number;
  readonly last: number;
  readonly hourly: number;
  readonly daily: number;
  readonly weekly: number;
  readonly monthly: number;
};

/** A manifest, checked and complete: every default is filled in, every path absolute. Frozen throughout. */
export type Configuration = {
  readonly application: string;
  /** The manifest's name as the operator gave it, and the folder that its relative paths start at. */
  readonly origin: { readonly file: string; readonly folder: string };
  readonly repository: RepositoryConfiguration;
  /** In the manifest's order, at least one. */
  readonly stores: readonly StoreConfiguration[];
  readonly bases: string;
  readonly timezone: string;
  readonly marks: { readonly everyMs: number };
  readonly flush: { readonly afterMs: number; readonly sizeBytes: number };
  readonly retention: RetentionConfiguration;
};
