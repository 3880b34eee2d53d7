import { isAbsolute } from 'node:path';

/** What the process tells of the machine and its user, besides its variables. */
export type ProcessFacts = {
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** 0 for root; undefined where the system has no such numbers. */
  readonly userId: number | undefined;
};

/** What Tidemark takes from the environment. An empty variable counts as absent. */
export type Environment = {
  /** All of them: for programs that are started, and for secrets that a manifest names. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly passphraseFile: string | undefined;
  readonly passphrase: string | undefined;
  readonly userId: number | undefined;
  readonly temporaryFolder: string;
  /** `auto`: where the output is a terminal. */
  readonly colour: 'always' | 'never' | 'auto';
  /** Whether a terminal shows what is drawn with other characters than ASCII's. */
  readonly unicode: boolean;
};

export function readEnvironment({ variables, userId }: ProcessFacts): Environment {
  const given = (name: string): string | undefined => (variables[name] === '' ? undefined : variables[name]);
  const temporary = given('TMPDIR');
  return {
    variables,
    passphraseFile: given('TIDEMARK_PASSPHRASE_FILE'),
    passphrase: given('TIDEMARK_PASSPHRASE'),
    userId,
    temporaryFolder: temporary !== undefined && isAbsolute(temporary) ? temporary : '/tmp',
    colour: colourOf(given('NO_COLOR'), given('FORCE_COLOR'), given('TERM')),
    unicode: showsUnicode(given('LC_ALL') ?? given('LC_CTYPE') ?? given('LANG'), given('TERM')),
  };
}

/** Without a locale, as in most containers, the terminal is outside and better than the variables say. Linux' own console has few characters. */
function showsUnicode(locale: string | undefined, terminal: string | undefined): boolean {
  return terminal !== 'linux' && (locale === undefined || /utf-?8/i.test(locale));
}

function colourOf(
  never: string | undefined,
  always: string | undefined,
  terminal: string | undefined,
): Environment['colour'] {
  if (never !== undefined) return 'never';
  if (always !== undefined && always !== '0') return 'always';
  return terminal === 'dumb' ? 'never' : 'auto';
}
