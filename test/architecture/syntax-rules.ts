import { isEntry, isProduct } from './rule.ts';
import type { Breach, Rule } from './rule.ts';
import type { Source } from './source.ts';

const NOT_ERASABLE = /^(?:TS(?:Enum|Module|ImportEquals)Declaration|TSParameterProperty|TSExportAssignment|Decorator)$/;

const PROCESS = /^process\.(?:env|exit|exitCode|argv|on|once|kill|abort|chdir|umask|stdin|stdout|stderr)$/;
const PROCESS_OWNERS = /^src\/(?:config|cli)\//;

const TIME_AND_CHANCE =
  /^(?:Date\.now|Date\(\)|new Date\(0\)|performance\.now|process\.hrtime|process\.uptime|Math\.random|AbortSignal\.timeout|set(?:Timeout|Interval)\(\)|console\.\w+)$/;
const TIME_MODULES = /^(?:node:)?(?:timers|perf_hooks)(?:\/|$)/;
const TIME_OWNERS = /^src\/(?:flow\/clock\.ts$|cli\/)/;

const SILENCED =
  /(?:oxlint|eslint|biome)-(?:disable|ignore)|biome-ignore|@ts-(?:ignore|nocheck|expect-error)|\b(?:TODO|FIXME|XXX)\b/;

function syntaxRule(applies: (what: string) => boolean, message: string): Rule {
  return function* (sources) {
    for (const { path, syntax } of sources) {
      for (const { what, line } of syntax) {
        if (applies(what)) yield { path, line, subject: what, message };
      }
    }
  };
}

export const erasableSyntax = syntaxRule(
  (what) => NOT_ERASABLE.test(what),
  'only syntax that can be erased: no enum, namespace, parameter property, decorator, import = or export =',
);

export const noAny = syntaxRule((what) => what === 'TSAnyKeyword', 'no any; take unknown and narrow it');

export const noNonNull = syntaxRule((what) => what === 'TSNonNullExpression', 'no !; take must(value, why)');

export function* noInlineTypes(sources: readonly Source[]): Generator<Breach> {
  for (const { path, imports } of sources) {
    for (const { inlineType, specifier, line } of imports) {
      if (!inlineType) continue;
      const message = `types of ${specifier} in an import type of their own: an inline one still loads the module`;
      yield { path, line, subject: specifier, message };
    }
  }
}

export function* processOwners(sources: readonly Source[]): Generator<Breach> {
  for (const { path, uses, imports } of sources.filter(isProduct)) {
    if (PROCESS_OWNERS.test(path) || isEntry(path)) continue;
    const message = 'only config and cli touch the process; pass in what is needed';
    for (const { what, line } of uses) {
      if (PROCESS.test(what)) yield { path, line, subject: what, message };
    }
    for (const { target, names, line } of imports) {
      const taken = names.find((name) => PROCESS.test(`process.${name}`));
      if (/^(?:node:)?process$/.test(target) && taken) yield { path, line, subject: taken, message };
    }
  }
}

export function* timeOwner(sources: readonly Source[]): Generator<Breach> {
  for (const { path, uses, imports } of sources.filter(isProduct)) {
    if (TIME_OWNERS.test(path)) continue;
    for (const { what, line } of uses) {
      if (!TIME_AND_CHANCE.test(what)) continue;
      yield { path, line, subject: what, message: `${what}: take the clock, random or logger of the Runtime` };
    }
    for (const { target, kind, names, line } of imports) {
      const onlyGivesWay = names.length > 0 && names.every((name) => name === 'setImmediate');
      if (kind === 'type' || !TIME_MODULES.test(target) || onlyGivesWay) continue;
      yield { path, line, subject: target, message: `${target}: take the clock of the Runtime` };
    }
  }
}

export function* onlyErrorsInherit(sources: readonly Source[]): Generator<Breach> {
  for (const { path, superClasses } of sources.filter(isProduct)) {
    for (const { what, line } of superClasses) {
      if (what.endsWith('Error')) continue;
      yield { path, line, subject: what, message: `no inheritance except of errors: wrap ${what} instead` };
    }
  }
}

export function* nothingSilenced(sources: readonly Source[]): Generator<Breach> {
  for (const { path, comments } of sources) {
    for (const { what, line } of comments) {
      const [word] = SILENCED.exec(what) ?? [];
      if (word) {
        yield { path, line, subject: word, message: `no ${word}: mend it, or name an exception with its reason` };
      }
    }
  }
}
