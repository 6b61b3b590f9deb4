import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { NODE_FLAGS } from './node-flags.ts';

const ROOT = join(import.meta.dirname, '../..');

test('a clone and the image start Node.js with the flags of a sidecar', () => {
  const launcher = readFileSync(join(ROOT, 'weft'), 'utf8');
  expect(launcher).toContain(`exec "$node" ${NODE_FLAGS.join(' ')} "$root/cli/main.ts"`);
  const dockerfile = readFileSync(join(ROOT, 'deploy/docker/Dockerfile'), 'utf8');
  const entrypoint = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile)?.[1] ?? '[]';
  expect(JSON.parse(entrypoint)).toEqual(expect.arrayContaining([...NODE_FLAGS]));
});
