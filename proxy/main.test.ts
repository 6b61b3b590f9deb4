import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { inherited } from '../test/harness/node-process.ts';

/** The command line as a process of its own: what people and scripts see of it. */

const NODE = join(import.meta.dirname, '../node_modules/node/bin/node');

function proxy(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    NODE,
    [join(import.meta.dirname, 'main.ts'), ...args],
    {
      encoding: 'utf8',
      timeout: 25_000,
      env: inherited(),
    },
  );
  return { status, stdout, stderr };
}

test('--mode validate says OK with 0, and every mistake with its place and 1', () => {
  expect(proxy('--mode', 'validate', '--config-yaml', 'node: {id: a}')).toEqual({
    status: 0,
    stdout: '--config-yaml: configuration OK\n',
    stderr: '',
  });
  const { status, stderr } = proxy('--mode', 'validate', '--config-yaml', 'nodes: {id: a}');
  expect(status).toBe(1);
  expect(stderr).toBe('--config-yaml:1:1: nodes: unknown field; did you mean "node"?\n');
});

test.each([
  [
    '--concurrency',
    ['-c', 'x', '--concurrency', '2'],
    '--concurrency is not supported: one process uses one core',
  ],
  ['no bootstrap', [], 'give one of -c FILE and --config-yaml TEXT'],
  ['an unknown flag', ['--confg-path', 'x'], "Unknown option '--confg-path'"],
  ['a bad level', ['--config-yaml', '{}', '-l', 'loud'], '--log-level "loud" is not one of trace'],
])('wrong usage, %s, exits 64 and says what is right', (_name, args, message) => {
  const { status, stderr } = proxy(...args);
  expect([status, stderr.split('\n').length]).toEqual([64, 2]);
  expect(stderr).toContain(message);
});

test('a bootstrap that is not there exits 1', () => {
  const { status, stderr } = proxy('-c', '/no/such.yaml');
  expect(status).toBe(1);
  expect(stderr).toContain('/no/such.yaml cannot be read: ENOENT');
});
