import type { OptionSpec } from '../command.ts';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;

/** Options that every command takes, before or after its name. */
export const globalOptions = {
  file: { kind: 'text', short: 'f', value: 'FILE', says: 'the manifest; without it ./tidemark.yaml' },
  repository: {
    kind: 'text',
    value: 'URL',
    says: 'work on this repository; without -f no manifest is read, and the repository knows its stores',
  },
  json: { kind: 'flag', says: 'print one JSON object a line instead of text' },
  quiet: {
    kind: 'flag',
    short: 'q',
    says: 'print nothing of work that went well: only errors, warnings, findings, and what was asked to be shown',
  },
  noColor: { kind: 'flag', says: 'print without colours' },
  logLevel: {
    kind: 'choice',
    value: 'LEVEL',
    choices: logLevels,
    says: 'what is logged to standard error; without it warn',
  },
  expectHead: {
    kind: 'text',
    value: 'FINGERPRINT',
    says: 'fail unless the repository has this head: notices one that was rolled back',
  },
  limitUpload: { kind: 'size', value: 'SIZE', says: 'at most so much a second to the repository, such as 10MiB' },
  limitDownload: { kind: 'size', value: 'SIZE', says: 'at most so much a second from the repository' },
  workers: {
    kind: 'count',
    value: 'COUNT',
    says: 'threads that read, compress and encrypt; without it two, and for `up` one',
  },
  lowPriority: { kind: 'flag', says: 'let all other work of this machine go first, on processor and disk' },
} as const satisfies Readonly<Record<string, OptionSpec>>;
