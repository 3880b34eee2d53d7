/** How data directories are restored, of the options of a store. */
export type RestoreSettings = {
  /** The server's own, on this host. Without it a restore has to be told where to. */
  readonly dataDirectory?: string | undefined;
  /** A user of this host by name, or `UID:GID`; only root can give files to others. Absent: who owns the folder that is there now, else `postgres`. */
  readonly owner?: string | undefined;
  /** Holds `postgres` and its kin. Absent: where the packages of the systems put it. */
  readonly binFolder?: string | undefined;
  /** `pause`: the restored server can be read and goes no further until it is promoted. */
  readonly endRecovery: 'promote' | 'pause';
  /** Folders for tablespaces, by their OID or by where they were. Those that are not named go into a folder beside the data directory. */
  readonly tablespaces: Readonly<Record<string, string>>;
};
