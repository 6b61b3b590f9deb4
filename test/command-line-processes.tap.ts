import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ControlPlane } from './harness/control-plane.ts';
import { viaProxy } from './harness/mesh-request.ts';
import { NodeProcess, ROOT } from './harness/node-process.ts';
import { until } from './harness/until.ts';

/**
 * The commands that start processes, `weft run` and `weft demo`: whatever ends them, and whenever, nothing of theirs
 * is left. Each runs with a TMPDIR of its own, in which all files must be, and by which all its processes are found.
 */

t.setTimeout(200_000);

const CLI = join(ROOT, 'cli/main.ts');
const skip = process.platform === 'linux' ? false : 'processes are found in /proc';

class Sandbox {
  readonly directory = mkdtempSync(join(tmpdir(), 'weft-sandbox-'));

  weft(...args: string[]): NodeProcess {
    return new NodeProcess([CLI, ...args], { env: { TMPDIR: this.directory } });
  }

  /** Ids of the processes that were started with this TMPDIR, and whose command line has `word`. */
  processes(word = ''): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
          return (
            environment.includes(`TMPDIR=${this.directory}`) &&
            readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(word)
          );
        } catch {
          return false; // ended meanwhile, or another person's
        }
      })
      .map(Number);
  }

  files(): string[] {
    return readdirSync(this.directory);
  }

  remove(): void {
    for (const pid of this.processes()) process.kill(pid, 'SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function sandbox(t: Test): Sandbox {
  const made = new Sandbox();
  t.teardown(() => made.remove());
  return made;
}

/** Waits for a moment of a process that goes on; rejects with its output where it ends before. */
function untilIn(run: NodeProcess, moment: string, came: () => boolean): Promise<true> {
  return until(
    moment,
    () => {
      if (came()) return true;
      if (run.exitCode === undefined) return false;
      throw new Error(`ended with ${run.exitCode} before ${moment}:\n${run.output}`);
    },
    60_000,
  );
}

function nothingLeft(t: Test, box: Sandbox): void {
  t.same(box.files(), [], 'no file is left');
  t.same(box.processes(), [], 'no process is left');
}

t.test('weft run, stopped while it starts', { skip }, async (t) => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as AddressInfo;
  const controlPlane = await ControlPlane.start();
  t.teardown(async () => {
    silent.close();
    await controlPlane.stop();
  });
  const data = (name: string, addresses: object): string => {
    const directory = join(controlPlane.directory, name);
    mkdirSync(directory);
    writeFileSync(join(directory, 'control-plane.json'), JSON.stringify({ addresses }));
    writeFileSync(join(directory, 'root-cert.pem'), controlPlane.rootCert());
    return directory;
  };

  t.test('while the join token is asked for', async (t) => {
    const box = sandbox(t);
    const api = `127.0.0.1:${port}`;
    const connected = new Promise((resolve) => silent.once('connection', resolve));
    const run = box.weft('run', '--data', data('silent-api', { api, xds: api }), '--', 'true');
    await connected;
    run.kill('SIGINT');
    t.equal(await run.exited, 130);
    nothingLeft(t, box);
  });

  t.test('while the sidecar is not ready', async (t) => {
    const box = sandbox(t);
    const addresses = { api: controlPlane.api.slice('http://'.length), xds: `127.0.0.1:${port}` };
    const run = box.weft('run', '--data', data('silent-xds', addresses), '--', 'true');
    await untilIn(run, 'the sidecar', () => box.processes('bootstrap.json').length === 1);
    run.kill('SIGTERM');
    t.equal(await run.exited, 143);
    nothingLeft(t, box);
  });

  t.test('a sidecar that cannot start ends the run soon, and says why', async (t) => {
    const box = sandbox(t);
    const run = box.weft(
      'run',
      '--data',
      controlPlane.data,
      '--sidecar-log',
      join(CLI, 'log'),
      '--',
      'true',
    );
    t.not(await run.exited, 0);
    const level = box.weft('run', '--data', controlPlane.data, '--log-level', 'loud', '--', 'true');
    t.equal(await level.exited, 1);
    t.match(level.stderr, /--log-level "loud"/);
    t.match(level.stderr, /ended 3 times before it was ready/);
    nothingLeft(t, box);
  });
});

t.test('weft run refuses settings that do not fit before it starts anything', async (t) => {
  const box = sandbox(t);
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as AddressInfo;
  t.teardown(() => taken.close());
  for (const [flags, code, words] of [
    [['--port', '9080'], 64, /--port needs --service/],
    [['--service', 's', '--port', '99999'], 64, /--port 99999 is not a port/],
    [['--service', 's', '--port', '1:gopher'], 64, /protocols are http, tcp/],
    [['--service', 's', '--port', '1', '--app-port', 'x'], 64, /--app-port x is not a port/],
    [['--app-port', '1'], 64, /more --app-port than --port/],
    [['--address', 'localhost'], 64, /--address localhost is not an IP address/],
    [['--probe', 'http'], 64, /--probe http/],
    [['--label', 'a'], 64, /--label a is not key=value/],
    [['--outbound', 'x'], 64, /--outbound x is not host:port/],
    [['--outbound', `127.0.0.1:${port}`], 1, /EADDRINUSE/],
    [['--root-cert', '/no/cert', '--join-token-file', '/no/token'], 65, /--root-cert .*\/no\/cert/],
  ] as const) {
    const run = box.weft('run', ...flags, '--', 'true');
    t.equal(await run.exited, code, flags.join(' '));
    t.match(run.stderr, words);
  }
  t.same(box.files(), []);
});

t.test('weft run, once the app runs', { skip }, async (t) => {
  const controlPlane = await ControlPlane.start();
  t.teardown(() => controlPlane.stop());
  const script = `
    const { createServer } = require('node:http');
    createServer((_, response) => response.end('app')).listen(process.env.PORT, '127.0.0.1', () => console.log('APP UP'));
    process.on('SIGINT', () => process.exit(5));`;
  const start = (box: Sandbox) =>
    box.weft(
      ...['run', '--data', controlPlane.data, '--service', 'echo', '--port', '9080'],
      ...['--app-port', 'auto', '--', process.execPath, '-e', script],
    );

  t.test('a sidecar killed with -9 comes back, from its state on disk', async (t) => {
    const box = sandbox(t);
    const run = start(box);
    const outbound = async () => Number(/proxy 127\.0\.0\.1:(\d+)/.exec(run.stderr)?.[1]);
    const served = async () =>
      (await viaProxy(await outbound(), 'http://echo:9080/').catch(() => undefined))?.status ===
      200;
    await until('the service', served, 30_000);
    const [directory] = box.files();
    await until('its state on disk', async () =>
      existsSync(join(box.directory, directory!, 'state/last-known-good.json')),
    );
    const [sidecar] = box.processes('bootstrap.json');
    process.kill(sidecar!, 'SIGKILL');
    await until('another sidecar', async () => /ended with 137; it starts again/.test(run.stderr));
    await until('the service again', served, 30_000);
    run.kill('SIGINT');
    t.equal(await run.exited, 5, 'the signal goes to the app, and its exit code is ours');
    nothingLeft(t, box);
  });

  t.test('an app that a signal ends gives 128 + n; one that is not there 127', async (t) => {
    const box = sandbox(t);
    const run = box.weft('run', '--data', controlPlane.data, '--', 'sh', '-c', 'kill -SEGV $$');
    t.equal(await run.exited, 139);
    const none = box.weft('run', '--data', controlPlane.data, '--', '/no/such/app');
    t.equal(await none.exited, 127);
    t.match(none.stderr, /\/no\/such\/app could not be started/);
    const data = box.weft('run', '--data', controlPlane.data, '--', join(ROOT, 'README.md'));
    t.equal(await data.exited, 126);
    nothingLeft(t, box);
  });
});

t.test('weft demo leaves nothing', { skip }, async (t) => {
  const moments: readonly [
    string,
    NodeJS.Signals,
    number,
    (box: Sandbox, demo: NodeProcess) => boolean,
  ][] = [
    ['at once', 'SIGINT', 130, (_box, demo) => demo.stderr !== ''],
    [
      'while apps and sidecars start',
      'SIGTERM',
      143,
      (box) => box.processes('bootstrap.json').length > 2,
    ],
    ['in the middle of a step', 'SIGHUP', 129, (_box, demo) => /ok {4} /.test(demo.stderr)],
  ];
  for (const [name, signal, code, moment] of moments) {
    t.test(`interrupted ${name} (${signal})`, async (t) => {
      const box = sandbox(t);
      const demo = box.weft('demo');
      await untilIn(demo, name, () => moment(box, demo));
      demo.kill(signal);
      t.equal(await demo.exited, code, demo.stderr);
      nothingLeft(t, box);
    });
  }

  t.test('when the reader of its output leaves', async (t) => {
    const box = sandbox(t);
    const demo = box.weft('demo');
    await untilIn(demo, 'sidecars', () => box.processes('bootstrap.json').length > 0);
    demo.child.stderr!.destroy();
    await demo.exited;
    nothingLeft(t, box);
  });

  t.test('when its logs cannot be kept, or the samples are none', async (t) => {
    const box = sandbox(t);
    const demo = box.weft('demo', '--keep-logs', join(CLI, 'logs'));
    await untilIn(demo, 'sidecars', () => box.processes('bootstrap.json').length > 0);
    demo.kill('SIGINT');
    t.equal(await demo.exited, 130);
    t.match(demo.stderr, /logs could not be kept/);
    nothingLeft(t, box);
    const samples = box.weft('demo', '--samples', box.directory);
    t.equal(await samples.exited, 65);
    t.match(samples.stderr, /bookinfo\/networking/);
    nothingLeft(t, box);
  });
});
