import type { CommandSpec } from '../command.ts';

const group = 'Set up';

export const initSpec = {
  name: 'init',
  group,
  says: 'create the repository and its keys, or write a manifest to start from',
  details: [
    'Where there is no manifest yet, it writes one, says what to fill in, and does nothing else. Where there is one, it creates the repository that it names. A manifest and a repository that are there are left as they are.',
    'The passphrase is asked for twice on a terminal. Without one it comes from the manifest’s passphraseFile, passphraseEnv or passphraseCommand, from TIDEMARK_PASSPHRASE_FILE or from TIDEMARK_PASSPHRASE.',
  ],
  needs: 'optional manifest',
  arguments: {},
  options: {},
  result: 'repository {id, url, formatVersion, headFingerprint}, created, manifest',
  examples: [
    { line: 'tidemark init', says: 'write ./tidemark.yaml, or create the repository that it names' },
    { line: 'tidemark init -f /etc/shop/tidemark.yaml', says: 'the same for another manifest' },
  ],
} as const satisfies CommandSpec;

export const doctorSpec = {
  name: 'doctor',
  group,
  says: 'check everything that a backup and a restore would need',
  details: [
    'Each finding says what to do. An error among them makes the exit status 9.',
    'A host that has seen records in the repository which are gone adds nothing to it any more: somebody may have reverted the storage. Whoever knows why, because an older copy was put back, says so with --accept-rollback. It names what is gone and asks (in a pipe it needs --yes); then this host remembers what is there, and backs up again. The repository is not changed.',
  ],
  needs: 'manifest',
  arguments: { stores: { kind: 'any', value: 'STORE', says: 'only these stores' } },
  options: {
    acceptRollback: { kind: 'flag', says: 'go on with a repository that has lost what this host saw in it' },
    yes: { kind: 'flag', short: 'y', says: 'do not ask' },
  },
  result: 'findings [{code, severity, store, message, hint}], accepted []',
  examples: [
    { line: 'tidemark doctor', says: 'check the repository, the keys and every store' },
    { line: 'tidemark doctor uploads --json', says: 'check one store, for a monitoring system' },
    { line: 'tidemark doctor --accept-rollback', says: 'an older copy of the repository was put back on purpose' },
  ],
} as const satisfies CommandSpec;

export const configCheckSpec = {
  name: 'config check',
  group,
  says: 'check the manifest and start nothing',
  details: ['All mistakes are listed at once, each with line and column.'],
  needs: 'manifest',
  arguments: {},
  options: {},
  result: 'application, repository, stores [{store, url}]',
  examples: [
    { line: 'tidemark config check', says: 'check ./tidemark.yaml' },
    { line: 'tidemark config check -f shop.yaml', says: 'check another manifest' },
  ],
} as const satisfies CommandSpec;

export const configSchemaSpec = {
  name: 'config schema',
  group,
  says: 'print the JSON Schema of the manifest, for editors',
  needs: 'nothing',
  arguments: {},
  options: {},
  result: 'schema',
  examples: [{ line: 'tidemark config schema > tidemark.schema.json', says: 'keep it beside the manifest' }],
} as const satisfies CommandSpec;

export const completionShells = ['bash', 'zsh', 'fish'] as const;

export const completionSpec = {
  name: 'completion',
  group,
  says: 'print the completions for a shell',
  needs: 'nothing',
  arguments: { shell: { kind: 'one', value: 'SHELL', choices: completionShells, says: 'bash, zsh or fish' } },
  options: {},
  result: 'shell, script',
  examples: [
    { line: 'source <(tidemark completion bash)', says: 'complete in this bash' },
    { line: 'tidemark completion zsh > "${fpath[1]}/_tidemark"', says: 'complete in every new zsh' },
    { line: 'tidemark completion fish > ~/.config/fish/completions/tidemark.fish', says: 'complete in every new fish' },
  ],
} as const satisfies CommandSpec;

export const demoSpec = {
  name: 'demo',
  group,
  says: 'show a recording, a mistake, a loss and the way back, on stores of its own',
  details: [
    'A shop writes the number of each order to two embedded stores and a folder, `up` records them, a mistake spoils them, they are lost, and all comes back to the moment before, compared with what the shop wrote. It takes about 20 seconds, by the same code as the commands that are shown.',
    'Everything happens in a temporary folder, with a random passphrase. Nothing else is touched; no network is needed.',
  ],
  needs: 'nothing',
  arguments: {},
  options: { keep: { kind: 'flag', says: 'keep the folder, to look around in it' } },
  result: 'folder, kept, story [{kind, text, tookMs, mark, timeline, plan}]',
  examples: [
    { line: 'tidemark demo', says: 'under a minute' },
    { line: 'tidemark demo --keep', says: 'leave the folder, to look around in it' },
  ],
} as const satisfies CommandSpec;

export const versionSpec = {
  name: 'version',
  group,
  says: 'print the versions of Tidemark and Node',
  needs: 'nothing',
  arguments: {},
  options: {},
  result: 'version, node, platform',
  examples: [{ line: 'tidemark version --json', says: 'for a program' }],
} as const satisfies CommandSpec;
