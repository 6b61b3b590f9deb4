import { execFile, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { DiscoveryServer } from './harness/discovery-server.ts';
import { ROOT } from './harness/node-process.ts';

/** `weft inject` and `weft uninject` as people run them: in pipes, over directories, into kubectl. */

t.setTimeout(200_000);

const CLI = join(ROOT, 'cli/main.ts');
const SAMPLES = join(ROOT, '../shared/data/istio-samples');
const BOOKINFO = join(SAMPLES, 'bookinfo/platform/kube/bookinfo.yaml');
const noSamples = existsSync(BOOKINFO) ? false : "Istio's samples are not at hand";
const noKubectl =
  spawnSync('kubectl', ['version', '--client']).error === undefined ? false : 'no kubectl here';

const directory = mkdtempSync(join(tmpdir(), 'weft-inject-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

function weft(args: readonly string[], input: Buffer | string = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { input });
  return { status, stdout, text: stdout.toString(), stderr: stderr.toString() };
}

function file(name: string, text: string | Buffer): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const pod = (name: string, more = '') =>
  `apiVersion: v1\nkind: Pod\nmetadata:\n  name: ${name}\nspec:\n  ${more}\n  containers:\n  - name: app # the app\n    image: app:1\n`;

t.test(
  '[KI-01] inject into uninject gives the input byte for byte',
  { skip: noSamples },
  async (t) => {
    const source = readFileSync(BOOKINFO);
    const injected = weft(['inject', '-f', BOOKINFO]);
    t.equal(injected.status, 0);
    t.match(injected.stderr, /^deployment "reviews-v1" injected$/m);
    t.match(injected.stderr, /^service "reviews" unchanged$/m);
    t.notOk(injected.stdout.equals(source));
    t.ok(weft(['uninject', '-f', '-'], injected.stdout).stdout.equals(source));
    const again = weft(['inject', '-f', '-'], injected.stdout);
    t.ok(again.stdout.equals(injected.stdout));
    t.match(again.stderr, /^deployment "reviews-v1" unchanged: injected already$/m);
  },
);

t.test('[KI-01] bytes that are easily lost come back', async (t) => {
  const odd = Buffer.from(`\ufeff${pod('é漢😀')}\u0020 \n...\n# end`.replaceAll('\n', '\r\n'));
  const path = file('odd.yaml', odd);
  for (const [name, input] of [
    [path, ''],
    ['-', odd],
  ] as const) {
    const injected = weft(['inject', '-f', name], input);
    t.equal(injected.status, 0, injected.stderr);
    t.ok(weft(['uninject', '-f', '-'], injected.stdout).stdout.equals(odd));
  }
});

t.test('[KI-01] a directory is one stream, and comes back as one', async (t) => {
  const dir = join(directory, 'many');
  mkdirSync(join(dir, 'below'), { recursive: true });
  writeFileSync(join(dir, 'a.yaml'), pod('a').trimEnd());
  writeFileSync(join(dir, 'b.json'), JSON.stringify({ apiVersion: 'v1', kind: 'Service' }));
  writeFileSync(join(dir, 'c.yaml'), `--- # c\n${pod('c')}`);
  writeFileSync(join(dir, 'below/d.yaml'), pod('d'));
  const flat = weft(['inject', '-f', dir]);
  t.equal(flat.stderr, 'pod "a" injected\nservice "" unchanged\npod "c" injected\n');
  t.equal(
    weft(['uninject', '-f', '-'], flat.stdout).text,
    `${pod('a')}---\n{"apiVersion":"v1","kind":"Service"}\n--- # c\n${pod('c')}`,
  );
  const deep = weft(['inject', '-f', dir, '-R', '-o', join(directory, 'out.yaml')]);
  t.equal(deep.text, '');
  t.match(deep.stderr, /^pod "d" injected$/m);
  t.match(readFileSync(join(directory, 'out.yaml'), 'utf8'), /name: weft-proxy/);
});

t.test('[KI-01] what is not injected says why, and stays', async (t) => {
  const text = [
    pod('a', 'hostNetwork: true'),
    pod('b').replace('name: b', 'name: b\n  namespace: kube-system'),
  ].join('---\n');
  const result = weft(['inject', '-f', '-'], text);
  t.match(result, { status: 0, text });
  t.equal(result.stderr, 'pod "a" skipped: host network\npod "b" skipped: namespace kube-system\n');
});

t.test(
  'exit codes: 65 for what files hold, with its place and nothing written; 64 for usage',
  async (t) => {
    const bad = `${pod('a')}---\n${pod('b').replace('name: app', 'name: app\n    securityContext: {runAsUser: 1337}')}`;
    const path = file('bad.yaml', bad);
    const refused = weft(['inject', '-f', path]);
    t.match(refused, { status: 65, text: '' });
    t.match(
      refused.stderr,
      `${path}:19:34: spec.containers[0].securityContext.runAsUser: container "app" runs as user 1337`,
    );
    t.match(weft(['inject', '-f', '-'], 'a: [\n'), {
      status: 65,
      text: '',
      stderr: /^-:\d+:\d+: /,
    });
    t.match(weft(['inject', '-f', '-'], Buffer.from([0xff, 0xfe])), {
      status: 65,
      stderr: /is not UTF-8/,
    });
    t.match(weft(['inject', '-f', join(directory, 'none.yaml')]), {
      status: 65,
      stderr: /cannot be read/,
    });
    t.match(weft(['inject']), { status: 64, stderr: /no file given/ });
    t.match(weft(['inject', '-f', path, '--native-sidecars', 'maybe']), { status: 64 });
    t.match(weft(['inject', '-f', path, '--image', 'a b']), {
      status: 64,
      stderr: /--image: must be an image/,
    });
  },
);

t.test('[KI-07] settings come from a file, flags before it', async (t) => {
  const path = file('settings.yaml', 'image: from/file:1\nlogLevel: debug\nnativeSidecar: false\n');
  const args = ['inject', '-f', '-', '--injection-settings', path];
  const ofFile = weft(args, pod('a')).text;
  t.match(ofFile, /image: "from\/file:1"/);
  t.match(ofFile, /- debug/);
  t.match(ofFile, /- wait/);
  const flags = [
    ...args,
    '--image',
    'b',
    '--native-sidecars=true',
    '--control-plane',
    'cp:1',
    '--trust-domain',
    'td',
  ];
  const ofFlags = weft(flags, pod('a')).text;
  t.match(ofFlags, /image: b\n/);
  t.match(ofFlags, /restartPolicy: Always/);
  t.match(ofFlags, /value: "cp:1"/);
  t.match(ofFlags, /value: td\n/);
  const wrong = file('wrong.yaml', 'logLevel: loud\nimages: x\n');
  const refused = weft(['inject', '-f', '-', '--injection-settings', wrong], pod('a'));
  t.match(refused, { status: 65, text: '' });
  t.match(refused.stderr, new RegExp(`${wrong}:1:11: logLevel: `));
  t.match(refused.stderr, /images/);
});

t.test(
  '[KI-01] what comes out passes kubectl apply --dry-run=client --validate=false',
  { skip: noKubectl || noSamples },
  async (t) => {
    const server = await DiscoveryServer.start();
    t.teardown(() => server.stop());
    const all = join(directory, 'samples');
    mkdirSync(all);
    const apps = globSync(
      '{bookinfo/platform/kube/bookinfo,httpbin/httpbin,sleep/sleep,helloworld/helloworld,tcp-echo/tcp-echo-services}.yaml',
      { cwd: SAMPLES },
    );
    for (const app of apps) cpSync(join(SAMPLES, app), join(all, app.replaceAll('/', '-')));
    for (const path of [BOOKINFO, all]) {
      const injected = weft(['inject', '-f', path]);
      t.equal(injected.status, 0, injected.stderr);
      const expected = injected.stderr
        .split('\n')
        .filter((line) => /" (injected|unchanged)/.test(line)).length;
      const { code, out, err } = await kubectl(server.url, injected.stdout);
      t.equal(code, 0, err);
      t.equal(
        out.split('\n').filter((line) => line.endsWith('created (dry run)')).length,
        expected,
      );
      if (path === BOOKINFO)
        t.match(out, /^deployment\.apps\/productpage-v1 created \(dry run\)$/m);
    }
  },
);

function kubectl(
  server: string,
  input: Buffer,
): Promise<{ code: number; out: string; err: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number; out: string; err: string }>();
  const args = ['apply', '--dry-run=client', '--validate=false', '-f', '-'];
  const env = { PATH: process.env['PATH'], HOME: directory };
  const child = execFile('kubectl', [`--server=${server}`, ...args], { env }, (error, out, err) => {
    resolve({ code: error === null ? 0 : Number(error.code), out, err });
  });
  child.stdin?.end(input);
  return promise;
}
