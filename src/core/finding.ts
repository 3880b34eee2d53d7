/** What a check found. `hint` is one sentence that says what to do. */
export type Finding = {
  readonly code: string;
  readonly severity: 'error' | 'warning' | 'note';
  readonly store?: string | undefined;
  readonly message: string;
  readonly hint: string;
};
