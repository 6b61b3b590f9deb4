import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';

/** Checks the shape of the code that neither compiler nor linter sees: import direction, names, leftovers. */

const root = join(import.meta.dirname, '..');
const sources = globSync(
  ['{proto,proxy,control-plane,redirect,cli,deploy,examples,test}/**/*.ts', '*.ts'],
  { cwd: root },
).filter((file) => !file.startsWith('proto/gen/'));

const text = (file: string) => readFileSync(join(root, file), 'utf8');

interface Import {
  from: string;
  /** Path from the root, or the package's name. */
  to: string;
  /** `import type` or only types in braces: gone at run time. */
  typeOnly: boolean;
}

const imports: Import[] = sources.flatMap((from) => {
  const text = readFileSync(join(root, from), 'utf8');
  const found: Import[] = [];
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[^'";]*?\s+from\s+)?'([^']+)'|import\(\s*'([^']+)'\s*\)/g;
  for (const match of text.matchAll(pattern)) {
    const name = (match[2] ?? match[3])!;
    const to = name.startsWith('.') ? relative(root, resolve(root, dirname(from), name)) : name;
    found.push({ from, to, typeOnly: match[1] !== undefined });
  }
  return found;
});

const isTest = (file: string) => file.endsWith('.test.ts') || file.startsWith('test/');
const production = imports.filter(({ from }) => !isTest(from));

/** The layers of `proxy/`, top first: a file imports from its own folder and from later layers. */
const PROXY_LAYERS = [
  ['main.ts'],
  ['sidecar.ts'],
  // Parts of putting the parts together.
  ['sidecar'],
  // The status port stands on the admin port's server.
  ['status'],
  ['xds', 'admin', 'identity', 'registration'],
  // Its table is compiled in xds/.
  ['dns'],
  ['listener'],
  ['connection-manager'],
  // A filter reads the route that was chosen and its matchers.
  ['filter'],
  ['router'],
  ['upstream'],
  ['http1', 'http2', 'tcp', 'tls'],
  ['http'],
] as const;

/** The order of `control-plane/`, top first: what puts together, what follows, what is followed. */
const CONTROL_PLANE_LAYERS = [
  ['main.ts'],
  ['flags.ts', 'control-plane.ts'],
  ['kubernetes-mode.ts', 'open-kubernetes.ts'],
  ['control-plane-options.ts'],
  ['controllers', 'monitoring'],
  ['admission', 'xds'],
  ['injector', 'translate'],
  ['mesh', 'ca'],
  ['registry', 'api'],
  ['store', 'auth'],
  ['kubernetes'],
  ['kinds', 'listening.ts'],
  ['start-error.ts', 'listen-address.ts', 'clock.ts'],
] as const;

/** Imports within `root` from a file of one layer to another of the same or an earlier one, or where no layer is named. */
function upwardImports(root: string, layers: readonly (readonly string[])[]): Import[] {
  const layerOf = (part: string) => layers.findIndex((layer) => layer.includes(part));
  return production.filter(({ from, to }) => {
    if (!from.startsWith(root) || !to.startsWith(root) || from.endsWith('.testing.ts'))
      return false;
    const [above, below] = [from.split('/')[1]!, to.split('/')[1]!];
    if (above === below) return false;
    return layerOf(above) < 0 || layerOf(below) < 0 || layerOf(below) <= layerOf(above);
  });
}

test('proxy and control-plane never import each other, and proto imports nothing of ours', () => {
  const wrong = production.filter(
    ({ from, to }) =>
      (from.startsWith('proxy/') && /^(control-plane|redirect|cli|test|examples)\//.test(to)) ||
      (from.startsWith('control-plane/') && /^(proxy|redirect|cli|test|examples)\//.test(to)) ||
      (from.startsWith('redirect/') && /^(proxy|control-plane|cli|test|examples)\//.test(to)) ||
      (from.startsWith('proto/') &&
        /^(proxy|control-plane|redirect|cli|test|examples)\//.test(to)) ||
      (from.startsWith('examples/') && /^(proxy|control-plane|redirect|cli|test|proto)\//.test(to)),
  );
  expect(wrong).toEqual([]);
});

test('imports within proxy/ run downward only', () => {
  const wrong = upwardImports('proxy/', [...PROXY_LAYERS, ['observe']]);
  expect(wrong).toEqual([]);
});

test('imports within control-plane/ run downward only', () => {
  const wrong = upwardImports('control-plane/', CONTROL_PLANE_LAYERS);
  expect(wrong).toEqual([]);
});

test('files of redirect/ and of deploy/ import each other in no circle', () => {
  const own = production.filter(({ from }) => /^(redirect|deploy)\//.test(from));
  const importsOf = Map.groupBy(own, ({ from }) => from);
  const reaches = (from: string, target: string, seen: Set<string>): boolean =>
    (importsOf.get(from) ?? []).some(({ to }) => {
      if (to === target) return true;
      if (seen.has(to)) return false;
      return reaches(to, target, seen.add(to));
    });
  expect([...importsOf.keys()].filter((file) => reaches(file, file, new Set()))).toEqual([]);
});

test('manifests know of the control plane what is its own, and never of the processes', () => {
  const wrong = production.filter(
    ({ from, to }) =>
      (from.startsWith('deploy/manifests/') && /^(proxy|redirect|cli|test|examples)\//.test(to)) ||
      (from.startsWith('deploy/') && to === 'control-plane/control-plane.ts') ||
      (/^(proxy|control-plane|redirect)\//.test(from) && to.startsWith('deploy/')),
  );
  expect(wrong).toEqual([]);
});

test('only sidecar.ts, sidecar/ and main.ts of proxy/ import xds/', () => {
  const wrong = production.filter(
    ({ from, to }) =>
      to.startsWith('proxy/xds/') &&
      from.startsWith('proxy/') &&
      !from.startsWith('proxy/xds/') &&
      !/^proxy\/(sidecar|main)(\.ts$|\/)/.test(from),
  );
  expect(wrong).toEqual([]);
});

test('codec folders hold no socket, timer or logger', () => {
  const wrong = production.filter(
    ({ from, to }) =>
      /^proxy\/(http|http1|http2)\//.test(from) &&
      /^(node:(net|tls|timers|http|http2)|pino)/.test(to),
  );
  expect(wrong).toEqual([]);
});

test('one HTTP filter never imports another', () => {
  // A filter is a file, or a folder of its own.
  const filterOf = (file: string) => file.slice('proxy/filter/'.length).split('/')[0];
  const filters = production.filter(
    ({ from, to }) =>
      from.startsWith('proxy/filter/') &&
      to.startsWith('proxy/filter/') &&
      filterOf(from) !== filterOf(to) &&
      !/(http-filter|filter-chain)\.ts$/.test(to),
  );
  expect(filters.filter(({ from }) => !/(http-filter|filter-chain)\.ts$/.test(from))).toEqual([]);
});

test('node:http, node:http2 and undici stay out of the request path', () => {
  const wrong = production.filter(
    ({ from, to, typeOnly }) =>
      !typeOnly &&
      /^proxy\/(listener|connection-manager|filter|router|upstream|http1|http2|tcp|tls|http)\//.test(
        from,
      ) &&
      /^(node:https?|node:http2|undici)$/.test(to),
  );
  expect(wrong).toEqual([]);
});

test('only main.ts files read the environment and the command line', () => {
  const wrong = sources.filter(
    (file) =>
      /^(proxy|control-plane|redirect)\//.test(file) &&
      !isTest(file) &&
      !/(^|\/)main\.ts$/.test(file) &&
      /process\.(env|argv)\b/.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(wrong).toEqual([]);
});

test('no file has a name that says nothing', () => {
  const banned = /(^|\/)(utils?|helpers?|common|misc|types|index)\.ts$/;
  expect(sources.filter((file) => banned.test(file))).toEqual([]);
});

test('no leftover marks in the sources', () => {
  const mark = /\b(TODO|FIXME|XXX|HACK)\b/;
  const wrong = sources.filter(
    (file) => file !== 'test/tidy.test.ts' && mark.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(wrong).toEqual([]);
});

test('no focused test is left behind', () => {
  const wrong = sources.filter(
    (file) =>
      isTest(file) &&
      file !== 'test/tidy.test.ts' &&
      /\b(test|it|describe)\.only\(/.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(wrong).toEqual([]);
});

test('every source file is imported by something or is an entry', () => {
  const reached = new Set(imports.map(({ to }) => to));
  const entry =
    /(^|\/)main\.ts$|\.test\.ts$|\.tap\.ts$|\.bench\.ts$|^test\/run\.ts$|^proto\/generate\.ts$|^[^/]+\.ts$|^examples\/|^deploy\//;
  // A program that a test starts is named in it as a text.
  const started = (file: string) =>
    file.startsWith('test/') &&
    sources.some((from) => from !== file && text(from).includes(file.split('/').at(-1)!));
  expect(
    sources.filter((file) => !entry.test(file) && !reached.has(file) && !started(file)),
  ).toEqual([]);
});

test('every relative import names a file that exists', () => {
  const wrong = imports.filter(({ to }) => to.endsWith('.ts') && !existsSync(join(root, to)));
  expect(wrong).toEqual([]);
});

test('nothing tracked names a registry host or a path of one machine', () => {
  const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
    .split('\0')
    .filter((file) => file !== '' && file !== 'test/tidy.test.ts' && existsSync(join(root, file)));
  const wrong = files.filter((file) =>
    /registry\.npmjs\.org|\/work\/(main|shared)|\/root\/|\/tmp\/brief/.test(
      readFileSync(join(root, file), 'utf8'),
    ),
  );
  expect(wrong).toEqual([]);
});
