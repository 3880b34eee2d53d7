/** One check switched off: the text of a source file that is replaced, once. */
export type Mutant = {
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** Who has to notice: damages, as `KIND/DAMAGE`, or the tests of that file. */
  readonly noticedBy: { readonly damages: readonly string[] } | { readonly tests: string };
};

const VERIFY_TESTS = { tests: 'src/repository/verify.test.ts' } as const;
const DECODING_TESTS = { tests: 'src/repository/verify-decoding.test.ts' } as const;
const LOG_TESTS = { tests: 'src/repository/verify-logs.test.ts' } as const;

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  'ids of chunks are not recomputed when packs are read': {
    file: 'src/repository/verify/check-pack.ts',
    from: 'return bytes.byteLength === request.sizes[chunk] &&',
    to: 'return true ||',
    noticedBy: VERIFY_TESTS,
  },
  'ids of nodes are not recomputed': {
    file: 'src/repository/block-source.ts',
    from: 'return equalBytes(this.#identify[kind](bytes), id)',
    to: 'return true || equalBytes(this.#identify[kind](bytes), id)',
    noticedBy: VERIFY_TESTS,
  },
  'holes in chains are not looked for': {
    file: 'src/repository/records/heads.ts',
    from: 'for (const [from, to] of missingRanges(',
    to: 'for (const [from, to] of [] as Ranges ?? missingRanges(',
    noticedBy: { damages: ['run/delete', 'proof/delete', 'void/delete'] },
  },
  'a record need not follow the one before it': {
    file: 'src/repository/records/heads.ts',
    from: 'if (header.previous !== expected) return',
    to: 'if (header.previous === undefined) return',
    noticedBy: VERIFY_TESTS,
  },
  'remembered heads are not compared': {
    file: 'src/repository/records/heads.ts',
    from: '[...heads.named.values(), ...remembered]',
    to: '[...heads.named.values()]',
    noticedBy: { damages: ['roll back newest'] },
  },
  'chunks may be in any pack': {
    file: 'src/repository/verify/pack-set.ts',
    from: 'return ((this.#bits',
    to: 'return true || ((this.#bits',
    noticedBy: VERIFY_TESTS,
  },
  'sums of nodes are not compared': {
    file: 'src/repository/verify/tree-check.ts',
    from: 'found.entries !== child.entryCount || found.bytes !== child.contentBytes',
    to: 'false',
    noticedBy: VERIFY_TESTS,
  },
  'names below a node are not compared': {
    file: 'src/repository/verify/tree-check.ts',
    from: 'return begins && ends ?',
    to: 'return begins || ends || true ?',
    noticedBy: VERIFY_TESTS,
  },
  'totals of manifests are not compared': {
    file: 'src/repository/verify.ts',
    from: 'if (tree.entries !== entries || tree.bytes !== bytes)',
    to: 'if (tree.entries < 0)',
    noticedBy: VERIFY_TESTS,
  },
  'sizes of chunks are not compared': {
    file: 'src/repository/verify/tree-check.ts',
    from: 'place.sizeBytes === sizeBytes;',
    to: 'true || place.sizeBytes === sizeBytes;',
    noticedBy: VERIFY_TESTS,
  },
  'packs need not be the ones that their names say': {
    file: 'src/repository/pack-directory.ts',
    from: 'const isNamed = key.endsWith(',
    to: 'const isNamed = true || key.endsWith(',
    noticedBy: { damages: ['node pack/swap alike', 'node pack/older bytes'] },
  },
  'the data of packs is not read': {
    file: 'src/repository/verify/pack-pass.ts',
    from: 'const data = readsData ?',
    to: 'const data = readsData && number < 0 ?',
    noticedBy: { damages: ['content pack/flip', 'content pack/zero'] },
  },
  'trees are not walked': {
    file: 'src/repository/verify/tree-check.ts',
    from: 'await new Walk(this.#shared, tree).node(',
    to: 'if (level > 99) await new Walk(this.#shared, tree).node(',
    noticedBy: VERIFY_TESTS,
  },
  'what was whole in one base counts in every other': {
    file: 'src/repository/verify/tree-check.ts',
    from: '|| !this.#tree.packs.hasAll(known.packs)',
    to: '',
    noticedBy: VERIFY_TESTS,
  },
  'nobody asks whether entries can be decoded': {
    file: 'src/repository/verify/tree-check.ts',
    from: 'const fault = decoding && undecodable(',
    to: 'const fault = decoding && this.#tree === undefined && undecodable(',
    noticedBy: DECODING_TESTS,
  },
  'a base with an entry that can’t be decoded counts as whole': {
    file: 'src/repository/verify/tree-check.ts',
    from: 'sums.isWhole = false;\n      decoding?',
    to: 'decoding?',
    noticedBy: DECODING_TESTS,
  },
  'what one kind of store can decode counts for every other': {
    file: 'src/repository/verify/tree-check.ts',
    from: '${this.#tree.decoding?.kind',
    to: "${'' as string | undefined",
    noticedBy: DECODING_TESTS,
  },
  'entries of logs are not decoded': {
    file: 'src/repository/verify/log-check.ts',
    from: 'if (decoder !== undefined) this.#decode(',
    to: 'if (decoder === null) this.#decode(',
    noticedBy: DECODING_TESTS,
  },
  'contents that restores look into are not': {
    file: 'src/repository/verify.ts',
    from: 'await decoder?.checkContents?.(',
    to: 'await ({} as Decoder | undefined)?.checkContents?.(',
    noticedBy: DECODING_TESTS,
  },
  'certificates need no signature': {
    file: 'src/repository/format/certificate.ts',
    from: 'if (!verifyParts(',
    to: 'if (signed.byteLength < 0 && !verifyParts(',
    noticedBy: { damages: ['certificate/flip', 'certificate/flip', 'certificate/zero'] },
  },
  'records may lie under another key': {
    file: 'src/repository/format/record.ts',
    from: '!== key) throw',
    to: '=== undefined) throw',
    noticedBy: { damages: ['run/swap alike', 'start/swap alike', 'manifest/swap alike', 'journal/move'] },
  },
  'a mark with a lost base is not told of': {
    file: 'src/repository/verify/catalogue-damage.ts',
    from: '(missing.get(base) ?? []).map(',
    to: '([] as BrokenMark[]).map(',
    noticedBy: { damages: ['manifest/delete', 'manifest/flip'] },
  },
  'logs are not checked': {
    file: 'src/repository/verify.ts',
    from: 'await this.#logCheck(writer, decoders).all(logs, run);',
    to: '',
    noticedBy: { damages: ['body/flip', 'body/delete'] },
  },
  'sizes of bodies are not compared': {
    file: 'src/repository/verify/log-check.ts',
    from: 'if (sizeBytes !== segment.storedBytes) {',
    to: 'if (sizeBytes < 0) {',
    noticedBy: { damages: ['body/truncate'] },
  },
  'a mark whose log is lost is not told of': {
    file: 'src/repository/verify/catalogue-damage.ts',
    from: 'if (isLogMissing(broken, catalogue)) {',
    to: 'if (isLogMissing(broken, catalogue)) { continue;',
    noticedBy: LOG_TESTS,
  },
  'contents of logs are not looked for': {
    file: 'src/repository/verify/log-check.ts',
    from: "if ('removed' in entry || entry.content === undefined) continue;",
    to: 'if (entry !== undefined) continue;',
    noticedBy: LOG_TESTS,
  },
  'frames need not follow on each other': {
    file: 'src/repository/log-reader.ts',
    from: '|| start.order !== order',
    to: '',
    noticedBy: { tests: 'src/repository/log-reader.test.ts' },
  },
  'a base is proven although not all of it was read': {
    file: 'src/repository/verify/writer-check.ts',
    from: 'else if (data !== undefined) (this.#proven',
    to: 'else (this.#proven',
    noticedBy: VERIFY_TESTS,
  },
};
