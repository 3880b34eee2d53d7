import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import { errorCodes } from '../core/error-codes.ts';
import type { ErrorCode } from '../core/error-codes.ts';
import { JsonFields } from '../repository/format/json.ts';
import type { Json } from '../repository/format/json.ts';

/** What another process of this host asks of the one that records. */
export type AgentRequest =
  | { readonly command: 'status' }
  | {
      readonly command: 'mark';
      /** Whose stores are meant; any where nobody said. */
      readonly application?: string | undefined;
      readonly name?: string | undefined;
      readonly tags: readonly string[];
      readonly sealed: boolean;
    }
  | {
      readonly command: 'backup';
      readonly application?: string | undefined;
      readonly stores: readonly string[];
      readonly name?: string | undefined;
      readonly tags: readonly string[];
      readonly allowEmpty: readonly string[];
    };

/** A line of the answer. The last one is a result or an error. */
export type AgentAnswer =
  | { readonly type: 'news'; readonly message: string }
  | { readonly type: 'result'; readonly result: Json }
  | { readonly type: 'error'; readonly code: ErrorCode; readonly message: string; readonly hint: string };

/** @throws USAGE */
export function parseRequest(line: string): AgentRequest {
  try {
    const fields = JsonFields.parse(Buffer.from(line), 'a request');
    const command = fields.oneOf('command', ['status', 'mark', 'backup']);
    if (command === 'status') return { command };
    const application = fields.optionalText('application');
    const labels = {
      ...(application === undefined ? {} : { application }),
      name: fields.optionalText('name'),
      tags: fields.texts('tags'),
    };
    if (command === 'mark') return { command, ...labels, sealed: fields.flag('sealed') };
    return { command, ...labels, stores: fields.texts('stores'), allowEmpty: fields.texts('allowEmpty') };
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    throw new TidemarkError('USAGE', `the request is not understood: ${error.message}`);
  }
}

/** @throws FAILED for what no `up` of this version says */
export function parseAnswer(line: string): AgentAnswer {
  try {
    const fields = JsonFields.parse(Buffer.from(line), 'an answer');
    const type = fields.oneOf('type', ['news', 'result', 'error']);
    if (type === 'news') return { type, message: fields.text('message') };
    if (type === 'result') return { type, result: fields.json('result') };
    const known = Object.keys(errorCodes) as readonly ErrorCode[]; // the keys of that constant are the codes
    return { type, code: fields.oneOf('code', known), message: fields.text('message'), hint: fields.text('hint') };
  } catch (error) {
    if (!isTidemarkError(error, 'REPOSITORY_DAMAGED')) throw error;
    throw new TidemarkError('FAILED', `what \`up\` answered is not understood: ${error.message}`);
  }
}
