#!/usr/bin/env node
// Plain JavaScript that any Node can start, so that one which is too old gets a sentence and not a stack trace.
import { existsSync, readFileSync } from 'node:fs';
import module from 'node:module';
import { join } from 'node:path';

const wanted = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).engines.node.slice(2);
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const [wantedMajor, wantedMinor] = wanted.split('.').map(Number);

if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor)) {
  process.stderr.write(`tidemark needs Node ${wanted} or newer; ${process.execPath} is ${process.version}.\n`);
  process.exitCode = 1;
} else {
  // Not Node's default place, which is shared by all users of the machine: what is cached there is run.
  const caches = process.env['XDG_CACHE_HOME'] || (process.env['HOME'] && join(process.env['HOME'], '.cache'));
  if (caches) module.enableCompileCache(join(caches, 'tidemark', 'compiled'));
  const source = new URL('../src/cli/main.ts', import.meta.url);
  // The package holds no sources; in a checkout they are newer than whatever was built.
  await import(existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href);
}
