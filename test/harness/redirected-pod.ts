import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyPolicy, STRICT_MTLS } from './apply-policy.ts';
import { ControlPlane } from './control-plane.ts';
import { NodeProcess, ROOT } from './node-process.ts';
import { until } from './until.ts';
import { joinToken } from './workload.ts';

/**
 * A program for a network namespace of its own (`unshare --net`): a pod whose packets Istio's rules redirect, with an
 * app, a sidecar under UID 1337 and all ports as they are by default. Prints one line of JSON: what the status port said
 * before and after STRICT, and to whom it let quit.
 */
const POD = '10.66.0.2';
const APP_PORT = 9080;

/** The part of Istio's rules that connections of the sidecar to its own pod meet (conventions of `istio-iptables`). */
const RULES = `*nat
:ISTIO_INBOUND - [0:0]
:ISTIO_IN_REDIRECT - [0:0]
:ISTIO_OUTPUT - [0:0]
:ISTIO_REDIRECT - [0:0]
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_INBOUND -p tcp --dport 15020 -j RETURN
-A ISTIO_INBOUND -p tcp --dport 15021 -j RETURN
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
COMMIT
`;

execFileSync('ip', ['link', 'set', 'lo', 'up']);
execFileSync('ip', ['address', 'add', `${POD}/32`, 'dev', 'lo']);
execFileSync('iptables-restore', ['--noflush'], { input: RULES });

const directory = mkdtempSync(join(tmpdir(), 'weft-pod-'));
chmodSync(directory, 0o755); // the sidecar is another user
const file = (name: string, text: string): string => {
  const path = join(directory, name);
  writeFileSync(path, text, { mode: 0o644 });
  return path;
};

const app = createServer(({ socket }, response) => {
  response.end(`asked from ${socket.remoteAddress}`);
}).listen(APP_PORT, '0.0.0.0');
const controlPlane = await ControlPlane.start();
const user = ['--reuid=1337', '--regid=1337', '--clear-groups'];
const sidecar = new NodeProcess(
  [...user, process.execPath, '--disable-sigusr1', join(ROOT, 'proxy/main.ts')],
  {
    command: 'setpriv',
    env: {
      WEFT_CONTROL_PLANE: controlPlane.xds,
      WEFT_ROOT_CERT: file('root.pem', controlPlane.rootCert()),
      WEFT_TOKEN_FILE: file('token', await joinToken(controlPlane, 'default', 'default')),
      INSTANCE_IP: POD,
      WEFT_SERVICE: 'reviews',
      WEFT_PORTS: `${APP_PORT}:http`,
      ISTIO_KUBE_APP_PROBERS: JSON.stringify({
        '/app-health/app/livez': { httpGet: { path: '/', port: APP_PORT } },
        '/app-health/app/readyz': { tcpSocket: { port: APP_PORT } },
      }),
    },
  },
);

const ask = async (path: string, host = POD, method = 'GET') => {
  const response = await fetch(`http://${host}:15020${path}`, { method });
  return [response.status, await response.text()] as const;
};

/** Under UID 1337 and from any address but 127.0.0.6, what is sent to the pod comes to 15006. */
async function plainTextStatus(): Promise<string> {
  const code = `fetch('http://${POD}:${APP_PORT}/').then((r) => console.log(r.status), () => console.log('closed'))`;
  // Not synchronous: the app that answers is in this process.
  const client = new NodeProcess([...user, process.execPath, '-e', code], { command: 'setpriv' });
  await client.exited;
  return client.stdout.trim();
}

try {
  await until('the sidecar to be ready', async () => {
    if (sidecar.exitCode !== undefined) throw new Error(`it ended: ${sidecar.output}`);
    const [status] = await ask('/healthz/ready').catch(() => [0]);
    return status === 200;
  });
  const before = [await ask('/app-health/app/livez'), await ask('/app-health/app/readyz')];
  const permissive = await plainTextStatus();
  await applyPolicy(controlPlane, STRICT_MTLS);
  await until('plain text to be refused', async () => (await plainTextStatus()) === 'closed');
  const strict = [await ask('/app-health/app/livez'), await ask('/app-health/app/readyz')];
  const [remote] = await ask('/quitquitquit', POD, 'POST');
  const [local] = await ask('/quitquitquit', '127.0.0.1', 'POST');
  const exitCode = await sidecar.exited;
  console.log(JSON.stringify({ before, permissive, strict, remote, local, exitCode }));
} finally {
  await sidecar.stop(2000);
  await controlPlane.stop();
  app.close();
  rmSync(directory, { recursive: true, force: true });
}
