/** Ends a hint about a store that can't be used; what `doctor` itself finds goes without. */
export const DOCTOR_CLAUSE = '; `tidemark doctor` checks all stores';

/** What whoever put an older copy of the repository back does. */
export const ACCEPT_ROLLBACK =
  'If you put an older copy back yourself, `tidemark doctor --accept-rollback` lets this host go on with it.';

/**
 * Every error an operator can meet: what it means, what to do, and the exit status it leads to. The reference page is
 * generated from this table.
 */
export const errorCodes = {
  USAGE: {
    exit: 2,
    meaning: 'The command line asks for something that does not exist or does not fit together.',
    action: 'Correct the command; every command has --help with examples.',
  },
  CONFIG_INVALID: {
    exit: 2,
    meaning: 'The manifest has mistakes. All of them are listed, each with line and column.',
    action: 'Correct the lines that are named; `tidemark config check` checks again without starting anything.',
  },
  CONFIG_NOT_FOUND: {
    exit: 2,
    meaning: 'There is no manifest where one was looked for.',
    action: 'Name it with -f, run `tidemark init` to write one, or use --repository URL.',
  },
  STORE_NAME_TAKEN: {
    exit: 2,
    meaning:
      'Another application backs up a store of the same name into this repository: their histories would become one.',
    action:
      'Give the store another name in the manifest, or the application a repository of its own. Only if the application itself was renamed: `tidemark backup --take-over STORE`, once.',
  },
  SECRET_MISSING: {
    exit: 2,
    meaning: 'A secret has no source, or its file or variable is absent.',
    action: 'Give a passphraseFile in the manifest, TIDEMARK_PASSPHRASE_FILE or TIDEMARK_PASSPHRASE.',
  },
  FOLDER_NOT_EMPTY: {
    exit: 2,
    meaning: 'The folder for a new repository holds something else.',
    action: 'Name an empty or a new folder.',
  },
  RESTORE_CONFLICT: {
    exit: 2,
    meaning: 'The restore would replace something that it may not replace.',
    action: 'Put right what is in the way (`tidemark plan` shows all of it), or restore elsewhere with --into.',
  },
  REPOSITORY_NOT_FOUND: {
    exit: 7,
    meaning: 'There is no repository at this URL.',
    action: 'Check the URL; `tidemark init` creates a repository.',
  },
  REPOSITORY_UNREACHABLE: {
    exit: 7,
    meaning: 'The repository can be neither read nor written now.',
    action: 'Check that it is mounted, reachable and writable, then try again: nothing was lost.',
  },
  REPOSITORY_NEWER: {
    exit: 1,
    meaning: 'The repository is of a newer format than this Tidemark knows.',
    action: 'Update Tidemark on this machine.',
  },
  REPOSITORY_OLDER: {
    exit: 1,
    meaning: 'The repository is of a format from before the first that is kept readable.',
    action: 'Restore from it with the Tidemark that made it, and begin a new repository with this one.',
  },
  REPOSITORY_DAMAGED: {
    exit: 5,
    meaning: 'An object of the repository is missing, changed or does not belong where it is.',
    action: 'Run `tidemark verify --data` to see what is affected; what it does not name can be restored.',
  },
  REPOSITORY_ROLLED_BACK: {
    exit: 5,
    meaning: 'The repository has lost something that this host has seen in it.',
    action: `Find out who replaced or reverted the storage; \`tidemark verify\` names what is gone. ${ACCEPT_ROLLBACK}`,
  },
  KEY_REFUSED: {
    exit: 6,
    meaning: 'The passphrase or credential does not open this repository.',
    action:
      'Check which passphrase belongs to this repository, and where it comes from: a file is taken whole, but for one line end. Whoever has another one can add yours by `tidemark keys add`.',
  },
  KEY_MISSING: {
    exit: 6,
    meaning: 'The credential at hand does not allow this.',
    action: 'Use a passphrase or credential with the role that the message names.',
  },
  STORE_UNREACHABLE: {
    exit: 7,
    meaning: 'A store can’t be opened.',
    action: `Check that it exists and that this user may read it${DOCTOR_CLAUSE}.`,
  },
  TARGET_UNKNOWN: {
    exit: 4,
    meaning: 'No mark has this name or id.',
    action: 'List what there is with `tidemark marks`.',
  },
  TARGET_AMBIGUOUS: {
    exit: 4,
    meaning: 'More than one mark fits.',
    action: 'Give more of the id, or where two marks have the same one, a time.',
  },
  TARGET_OUTSIDE_WINDOW: {
    exit: 4,
    meaning: 'There is no complete mark of the stores that are meant at or before this time.',
    action: 'Choose a time inside the window that the message names.',
  },
  TARGET_IN_GAP: {
    exit: 4,
    meaning: 'At this time a store was not recorded, so that what it held then is not in the repository.',
    action: 'Choose one of the marks that the message names; `tidemark timeline` shows the gap.',
  },
  ENTRY_NOT_FOUND: {
    exit: 4,
    meaning: 'The base holds nothing of that name.',
    action: 'List what it holds with `tidemark ls`.',
  },
  POSITION_LOST: {
    exit: 1,
    meaning:
      'The changes after a position are not there any more, so that a store’s history can’t be followed on from it.',
    action: 'Start over from a full copy; what happened in between is a gap.',
  },
  BUSY: {
    exit: 8,
    meaning: 'Another process holds what this command needs.',
    action: 'Wait until it ends; a lock never outlives its process.',
  },
  FENCED: {
    exit: 8,
    meaning: 'This writer was away for longer than its lease; what it wrote could not be committed.',
    action: 'Run the command again; what was uploaded is used again.',
  },
  DISK_FULL: {
    exit: 1,
    meaning: 'There is no room left where something had to be written.',
    action: 'Make room, then run the command again.',
  },
  SPOOL_FULL: {
    exit: 1,
    meaning: 'What waits on this host for the repository has reached its bound.',
    action: 'Find out why the repository is slow or away; what waits goes on by itself once it is back.',
  },
  BASE_COLLAPSED: {
    exit: 1,
    meaning: 'The store is empty or far smaller than at its last base.',
    action: 'Check the store; if this is right, run `tidemark backup STORE --allow-empty STORE`.',
  },
  RESTORE_UNFINISHED: {
    exit: 1,
    meaning: 'An earlier restore was cut off.',
    action: 'Finish it with `tidemark restore --resume`, or drop it with `tidemark restore --discard`.',
  },
  RESTORE_FAILED: {
    exit: 1,
    meaning: 'Something could not be restored; nothing was exchanged.',
    action: 'See the entries that are named; the live data is untouched.',
  },
  NOTHING_TO_RESUME: {
    exit: 4,
    meaning: 'There is no restore to resume, undo or discard.',
    action: 'See `tidemark runs` for what was restored.',
  },
  PATH_ESCAPES: {
    exit: 5,
    meaning: 'A stored name would lead outside of the folder to restore into.',
    action: 'Do not trust this base; run `tidemark verify --data`.',
  },
  OBJECT_EXISTS: {
    exit: 1,
    meaning: 'An object of that key is there already; objects are never overwritten.',
    action: 'Run the command again; if it returns, run `tidemark verify`.',
  },
  OBJECT_NOT_FOUND: {
    exit: 5,
    meaning: 'An object that must be there is not.',
    action: 'Run `tidemark verify` to see what is affected.',
  },
  UNSUPPORTED: {
    exit: 1,
    meaning: 'This machine or file system lacks something that was asked for.',
    action: 'The message names it and what to use instead.',
  },
  INTERRUPTED: {
    exit: 130,
    meaning: 'The command was interrupted. What was committed stays.',
    action: 'Run it again; a backup goes on from what was uploaded.',
  },
  FAILED: {
    exit: 1,
    meaning: 'The operating system refused something.',
    action: 'The message names the operation and the path.',
  },
  BUG: {
    exit: 1,
    meaning: 'Tidemark found itself in a state that can’t be. Nothing was committed after it.',
    action: 'Report it with the message; run the command again.',
  },
} as const satisfies Readonly<Record<string, { exit: number; meaning: string; action: string }>>;

export type ErrorCode = keyof typeof errorCodes;
