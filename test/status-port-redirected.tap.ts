import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { NodeProcess, ROOT } from './harness/node-process.ts';

/** The status port where packets are redirected: the kubelet's way past mutual TLS, with all ports as by default. */

t.setTimeout(120_000);

function reasonToSkip(): string | false {
  if (process.getuid?.() !== 0) return 'needs root for a network namespace and its rules';
  const works = (command: string, ...args: string[]) => spawnSync(command, args).status === 0;
  if (!works('unshare', '--net', 'iptables-restore', '--version')) {
    return 'no network namespace or no iptables-restore here';
  }
  const asProxy = ['--reuid=1337', '--regid=1337', '--clear-groups'];
  return works('setpriv', ...asProxy, process.execPath, '--check', join(ROOT, 'proxy/main.ts'))
    ? false
    : 'UID 1337 cannot read this clone (or there is no setpriv)';
}

t.test(
  '[KI-05] [A5.2] the kubelet reaches a redirected app under STRICT; only the pod may quit',
  { skip: reasonToSkip() },
  async (t) => {
    const pod = new NodeProcess(
      ['--net', process.execPath, join(ROOT, 'test/harness/redirected-pod.ts')],
      { command: 'unshare' },
    );
    t.equal(await pod.exited, 0, pod.stderr);
    const said = JSON.parse(pod.stdout) as Record<string, unknown>;
    const asked = [
      [200, 'asked from 127.0.0.6'],
      [200, ''],
    ];
    t.same(said['before'], asked);
    t.equal(said['permissive'], '200', 'plain text is let in while PERMISSIVE');
    t.same(said['strict'], asked, 'and probes still pass when it is not');
    t.same([said['remote'], said['local'], said['exitCode']], [403, 200, 0]);
  },
);
