import type { Logger, LogLevel } from '../core/run.ts';
import { printable } from '../core/printable.ts';

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** Lines of `2026-11-20T14:05:00.000Z warn message key=value`, or of JSON, from `level` on. */
export function createLogger(options: {
  readonly level: LogLevel;
  readonly json: boolean;
  readonly nowMs: () => number;
  readonly write: (line: string) => void;
}): Logger {
  const lowest = LEVELS.indexOf(options.level);
  return {
    log(level, message, fields = {}) {
      if (LEVELS.indexOf(level) < lowest) return;
      const at = new Date(options.nowMs()).toISOString();
      const facts = Object.entries(fields).map(([key, value]) => [key, logged(value)] as const);
      if (options.json) {
        options.write(JSON.stringify({ type: 'log', at, level, message, ...Object.fromEntries(facts) }));
      } else {
        options.write(
          [at, level, printable(message), ...facts.map(([key, value]) => `${key}=${asText(value)}`)].join(' '),
        );
      }
    },
  };
}

function logged(value: unknown): unknown {
  if (value instanceof Error) return value.message;
  return typeof value === 'bigint' ? value.toString() : value;
}

function asText(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined');
  return /^[\w./:@+-]+$/.test(text) ? text : printable(typeof value === 'string' ? JSON.stringify(text) : text);
}
