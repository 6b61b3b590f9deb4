import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { bundle } from '../deploy/docker/bundle.ts';
import { ROOT } from './harness/node-process.ts';

/** The bundles of the image at work: what its build runs to fill the compile cache is a mesh with a request through it. */

t.setTimeout(120_000);

const namespaces = spawnSync('unshare', ['--net', 'ip', 'link', 'set', 'lo', 'up']);

t.test(
  'control plane, weft run and a sidecar out of a bundle, with no packages beside it',
  namespaces.status === 0 ? {} : { skip: 'needs root, unshare and ip: the ports are fixed' },
  async (t) => {
    const directory = join(t.testdir(), 'weft');
    await bundle(directory);
    const script = 'ip link set lo up && exec "$0" "$@"';
    const words = [process.execPath, join(ROOT, 'deploy/docker/warm.ts'), directory];
    const { status, stderr } = spawnSync('unshare', ['--net', 'sh', '-c', script, ...words], {
      encoding: 'utf8',
      cwd: '/',
      env: { PATH: process.env['PATH'] },
      timeout: 100_000,
    });
    if (status !== 0) t.comment(stderr.slice(-4000));
    t.equal(status, 0, 'it does its work and stops');
    t.match(stderr, /"msg":"certificate issued"/);
    const [cache] = readdirSync(join(directory, 'cache'));
    t.match(cache, /^v26\./, 'what Node.js compiled is kept');
    t.ok(readdirSync(join(directory, 'cache', cache!)).length > 10);
  },
);
