import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { type Bundle, bundle } from './bundle.ts';

const scratch = mkdtempSync(join(tmpdir(), 'weft-bundle-'));
const directory = join(scratch, 'opt/weft');
const built: Bundle = await bundle(directory);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** In a directory and an environment that know nothing of the clone. */
function run(file: string, ...args: string[]) {
  return spawnSync(process.execPath, [join(directory, file), ...args], {
    cwd: scratch,
    env: { HOME: scratch },
    encoding: 'utf8',
    timeout: 20_000,
  });
}

const fileText = (file: string) => readFileSync(join(directory, file), 'utf8');

test('every role answers with no packages beside it', () => {
  expect(existsSync(join(scratch, 'node_modules'))).toBe(false);
  expect(run('weft.mjs', 'proxy', '--help')).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('Usage: weft proxy'),
  });
  expect(run('weft.mjs', 'control-plane', '--help')).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('Usage: weft control-plane'),
  });
  expect(run('weft.mjs', 'redirect', '--help')).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('Usage: weft redirect'),
  });
  expect(run('weft.mjs', 'cli', 'version', '--client')).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^client version: v\d+\.\d+\.\d+ /),
  });
});

test('a word that is no role is a command of weft, and a wrong one is 64', () => {
  const plain = run('weft.mjs', 'version', '--client');
  expect(plain.stdout).toBe(run('weft.mjs', 'cli', 'version', '--client').stdout);
  expect(run('weft.mjs', 'verzion')).toMatchObject({
    status: 64,
    stderr: expect.stringContaining('Did you mean version?'),
  });
});

test('each role can be run by its own file', () => {
  for (const role of ['proxy', 'control-plane', 'redirect', 'cli']) {
    expect(run(`${role}.mjs`, '--help').stdout).toContain('Usage: weft');
  }
});

test('a bundled sidecar judges a bootstrap, and refuses a wrong one with the field', () => {
  const check = (bootstrap: object) =>
    run('weft.mjs', 'proxy', '--mode', 'validate', '--config-yaml', JSON.stringify(bootstrap));
  const node = { id: 'a', cluster: 'b' };
  expect(check({ node, static_resources: {} })).toMatchObject({ status: 0 });
  expect(check({ node, static_resourcez: {} })).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('static_resourcez'),
  });
});

test('weft run finds the sidecar of the bundle', () => {
  const [file] = globSync('lib/run-*.mjs', { cwd: directory });
  const line = /PROXY_PROGRAM ?= ?\w+\(import\.meta\.dirname,"([^"]+)"\)/.exec(fileText(file!));
  expect(line?.[1]).toBe('../proxy.mjs');
  expect(existsSync(join(directory, 'lib', line![1]!))).toBe(true);
});

test('the demo, which needs a clone, says so', () => {
  expect(run('weft.mjs', 'demo')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('not in this image'),
  });
});

test('the entry loads one small file before it knows the role', () => {
  expect(built.loadedBy('weft.mjs')).toEqual(['weft.mjs']);
  expect(built.files.get('weft.mjs')).toBeLessThan(2048);
});

test('redirect is small, and no package is in it', () => {
  const files = built.everLoadedBy('redirect.mjs');
  const bytes = files.reduce((sum, file) => sum + built.files.get(file)!, 0);
  expect(bytes).toBeLessThan(64 * 1024);
  const text = files.map(fileText).join('\n');
  expect(text.includes('ISTIO_REDIRECT')).toBe(true);
  expect(/grpc|protobuf|commander/i.exec(text)).toBeNull();
});

test('the sidecar holds nothing of the control plane', () => {
  const loaded = built.everLoadedBy('proxy.mjs').map(fileText).join('\n');
  expect(loaded.includes('istio_requests_total')).toBe(true);
  expect(/pilot_xds_pushes|DatabaseSync/.exec(loaded)).toBeNull();
});

test('the build of the image is given every source that is bundled', () => {
  const lines = readFileSync(join(import.meta.dirname, '../../.dockerignore'), 'utf8').split('\n');
  const given = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
  expect(built.sources).toContain('proxy/sidecar.ts');
  const kept = built.sources.filter((path) =>
    given.every((each) => path !== each && !path.startsWith(`${each}/`)),
  );
  expect(kept).toEqual([]);
  expect(built.sources.filter((path) => /\.(test|testing)\.ts$/.test(path))).toEqual([]);
});

test('the same sources give the same bytes', async () => {
  const again = join(scratch, 'again');
  await bundle(again);
  const files = globSync('**/*', { cwd: directory, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  expect(files.length).toBeGreaterThan(10);
  execFileSync('diff', ['-r', directory, again]);
});

test('what is bundled goes with its licences, and no path of the machine that built it', () => {
  const licenses = fileText('THIRD-PARTY-LICENSES.txt');
  for (const name of ['@grpc/grpc-js', 're2js', 'pino', 'yaml', 'zod', '@peculiar/x509']) {
    expect(licenses).toMatch(new RegExp(`^${name} \\d`, 'm'));
  }
  expect(licenses).not.toMatch(/^(esbuild|typescript|vitest) \d/m);
  const root = join(import.meta.dirname, '../..');
  for (const file of globSync('**/*.mjs', { cwd: directory })) {
    expect(fileText(file).includes(root), `${file} names ${root}`).toBe(false);
  }
});

test('a package without a licence stops the build', async () => {
  const { thirdPartyLicenses } = await import('./third-party-licenses.ts');
  const root = join(scratch, 'unlicensed');
  const path = join(root, 'node_modules/nobody');
  execFileSync('mkdir', ['-p', path]);
  writeFileSync(join(path, 'package.json'), '{"name":"nobody","version":"1.0.0"}');
  expect(() => thirdPartyLicenses(root, ['node_modules/nobody/a.js'])).toThrow(
    'node_modules/nobody has neither a licence file nor a licence in package.json',
  );
});
