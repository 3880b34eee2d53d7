// Brings what the project's own scripts need: the locked packages, and a Node of its own where the machine's is too old.
// Runs on any Node from 18 on, before each npm script, and does nothing when everything is there.
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { basename, delimiter, dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {object} LockedPackage
 * @property {string} [version]
 * @property {string} [integrity]
 * @property {boolean} [optional]
 * @property {string[]} [os]
 * @property {string[]} [cpu]
 * @property {string[]} [libc]
 */

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const nodeFolder = join(root, 'scripts', 'node');
const ownNode = join(nodeFolder, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
const nodeLink = join(root, 'node_modules', '.bin', 'node');

/** @type {(path: string) => any} */
function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** @type {(path: string) => Record<string, LockedPackage> | undefined} */
function readPackages(path) {
  try {
    return readJson(path).packages;
  } catch {
    return undefined;
  }
}

/** @type {() => string} */
function libc() {
  const report = /** @type {{ excludeNetwork: boolean, getReport(): object }} */ (
    /** @type {unknown} */ (process.report)
  );
  report.excludeNetwork = true;
  const { header } = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (report.getReport());
  return header.glibcVersionRuntime ? 'glibc' : 'musl';
}

/** Whether an optional package is one for this machine. @type {(locked: LockedPackage) => boolean} */
function belongsHere(locked) {
  const fits = locked.os?.includes(process.platform) && locked.cpu?.includes(process.arch);
  return fits === true && (!locked.libc || locked.libc.includes(libc()));
}

/**
 * Whether `folder` holds what its lock file says. npm writes its own record last, so an installation that was cut off has none.
 * @type {(folder: string) => boolean}
 */
function isInstalled(folder) {
  const wanted = readPackages(join(folder, 'package-lock.json'));
  const present = readPackages(join(folder, 'node_modules', '.package-lock.json'));
  if (!wanted || !present) return false;
  return Object.entries(wanted).every(([path, locked]) => {
    if (path === '') return true;
    const found = present[path];
    if (!found) return locked.optional === true && !belongsHere(locked);
    return found.version === locked.version && (!locked.integrity || found.integrity === locked.integrity);
  });
}

/** @type {(message: string) => void} */
function say(message) {
  process.stderr.write(`setup: ${message}\n`);
}

/** @type {(message: string) => never} */
function fail(message) {
  say(message);
  process.exit(1);
}

/** @type {(node: string, args: string[], stdout: 'inherit' | 'pipe') => import('node:child_process').SpawnSyncReturns<string>} */
function npm(node, args, stdout) {
  const running = process.env['npm_execpath'];
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env['PATH'] ?? ''}` };
  const stdio = /** @type {import('node:child_process').StdioOptions} */ ([
    'ignore',
    stdout === 'pipe' ? 'pipe' : 2,
    'inherit',
  ]);
  const options = { cwd: root, env, encoding: /** @type {const} */ ('utf8'), stdio };
  if (running && basename(running) === 'npm-cli.js') return spawnSync(node, [running, ...args], options);
  return spawnSync('npm', args, options);
}

/** Where npm can't write its cache (a read-only home), the project keeps one of its own. @type {() => string[]} */
function cacheOption() {
  const configured = npm(process.execPath, ['config', 'get', 'cache'], 'pipe').stdout?.trim();
  if (!configured) return [];
  try {
    mkdirSync(configured, { recursive: true });
    accessSync(configured, constants.W_OK);
    return [];
  } catch {
    return ['--cache', join(root, '.cache', 'npm')];
  }
}

/**
 * `node` runs npm, which leaves out the packages that do not fit the Node that it runs on itself.
 * @type {(folder: string, what: string, node: string) => void}
 */
function install(folder, what, node) {
  say(`installing ${what}`);
  const args = [
    'ci',
    '--prefix',
    folder,
    '--ignore-scripts',
    '--include=dev',
    '--include=optional',
    '--prefer-offline',
  ];
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--engine-strict=false'];
  const result = npm(node, [...args, ...quiet, ...cacheOption()], 'inherit');
  if (result.error) {
    fail(`npm could not be started: ${result.error.message}. Install npm, then run the same command again.`);
  }
  if (result.status !== 0) {
    fail('npm could not install the packages; its message is above. Run the same command again when that is mended.');
  }
}

/** @type {(version: string, wanted: string) => boolean} */
function isAtLeast(version, wanted) {
  const [left, right] = [version, wanted].map((text) => text.split('.').map((part) => Number.parseInt(part, 10)));
  for (const [index, part] of (right ?? []).entries()) {
    const difference = (left?.[index] ?? 0) - part;
    if (difference !== 0) return difference > 0;
  }
  return true;
}

/** @type {(wanted: string) => void} */
function bringOwnNode(wanted) {
  if (isInstalled(nodeFolder) && existsSync(ownNode)) return;
  const locked = readPackages(join(nodeFolder, 'package-lock.json'))?.[
    `node_modules/node-${process.platform}-${process.arch}`
  ];
  const manual = `Tidemark needs Node ${wanted} or newer, and this is ${process.version}. Install it (https://nodejs.org, nvm, fnm or your system's packages) and run the same command again.`;
  if (!locked) fail(`${manual} For ${process.platform} on ${process.arch} none can be brought automatically.`);
  install(
    nodeFolder,
    `Node ${locked.version} for this checkout (this machine has ${process.versions.node}; about 50 MB, once)`,
    process.execPath,
  );
  if (spawnSync(ownNode, ['--version']).status === 0) return;
  const reason = existsSync(ownNode) ? 'does not run on this system' : 'could not be fetched from the registry';
  rmSync(join(nodeFolder, 'node_modules'), { recursive: true, force: true });
  fail(`${manual} The one to be brought automatically ${reason}.`);
}

/** npm puts node_modules/.bin first on the path of each script, so this link is the Node that they run on. */
function linkOwnNode() {
  const target = relative(dirname(nodeLink), ownNode);
  const present = lstatSync(nodeLink, { throwIfNoEntry: false });
  if (present?.isSymbolicLink() && readlinkSync(nodeLink) === target) return;
  rmSync(nodeLink, { force: true });
  mkdirSync(dirname(nodeLink), { recursive: true });
  symlinkSync(target, nodeLink);
}

const wanted = String(readJson(join(root, 'package.json')).engines.node).replace(/^>=/, '');
const needsOwnNode =
  !isAtLeast(process.versions.node, wanted) || process.execPath.startsWith(join(nodeFolder, 'node_modules') + sep);
if (needsOwnNode) bringOwnNode(wanted);
if (!isInstalled(root)) install(root, 'the locked packages', needsOwnNode ? ownNode : process.execPath);
if (needsOwnNode) linkOwnNode();
