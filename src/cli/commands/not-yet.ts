import { TidemarkError } from '../../core/errors.ts';

export function notYet(name: string): never {
  throw new TidemarkError('UNSUPPORTED', `tidemark ${name} is not in this version`);
}
