import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { accessSync } from 'node:fs';
import { ROOT } from './node-process.ts';

/**
 * Two network namespaces joined by a cable: `app`, whose traffic is redirected, and `peer`, the rest of the world.
 * They and what runs in them are gone after `close`.
 */
export class RedirectNamespaces {
  readonly app: string;
  readonly peer: string;
  readonly #children: ChildProcess[] = [];
  static #count = 0;

  constructor() {
    const name = `weft-rd-${process.pid}-${RedirectNamespaces.#count++}`;
    this.app = `${name}-a`;
    this.peer = `${name}-p`;
    ip('netns', 'add', this.app);
    ip('netns', 'add', this.peer);
    ip(
      '-n',
      this.app,
      'link',
      'add',
      'eth0',
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      this.peer,
    );
    for (const [ns, host] of [
      [this.app, 2],
      [this.peer, 1],
    ] as const) {
      ip('-n', ns, 'link', 'set', 'lo', 'up');
      ip('-n', ns, 'link', 'set', 'eth0', 'up');
      ip('-n', ns, 'addr', 'add', `10.77.0.${host}/24`, 'dev', 'eth0');
      ip('-n', ns, '-6', 'addr', 'add', `fd77::${host}/64`, 'dev', 'eth0', 'nodad');
    }
    ip('-n', this.app, 'route', 'add', 'default', 'via', '10.77.0.1');
    ip('-n', this.app, '-6', 'route', 'add', 'default', 'via', 'fd77::1');
  }

  /** A program in a namespace to its end. */
  run(ns: string, file: string, args: readonly string[], input = ''): Promise<Ran> {
    return runToEnd('ip', ['netns', 'exec', ns, file, ...args], input);
  }

  /** `weft redirect` in the app's namespace. */
  redirect(...args: string[]): Promise<Ran> {
    return this.redirectWith({}, ...args);
  }

  redirectWith(env: Record<string, string>, ...args: string[]): Promise<Ran> {
    const set = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const main = `${ROOT}/redirect/main.ts`;
    return this.run(this.app, 'env', [...set, process.execPath, main, ...args]);
  }

  /** Loaded rules of the app's namespace, without what changes by itself. */
  async saved(family: 'v4' | 'v6', backend: 'nft' | 'legacy' = 'nft'): Promise<string> {
    const { stdout } = await this.run(this.app, `${programs[family]}-${backend}-save`, []);
    return stdout.replace(/^#.*\n/gm, '').replace(/\[\d+:\d+\]/g, '[0:0]');
  }

  /** `iptables …` in the app's namespace. */
  async iptables(family: 'v4' | 'v6', ...args: string[]): Promise<void> {
    const { code, stderr } = await this.run(this.app, `${programs[family]}-nft`, args);
    if (code !== 0) throw new Error(stderr);
  }

  async restore(text: string): Promise<void> {
    const { code, stderr } = await this.run(this.app, 'iptables-nft-restore', ['--noflush'], text);
    if (code !== 0) throw new Error(stderr);
  }

  /**
   * Answers every TCP connection and datagram on these addresses with `name:port`, the port it was bound to. Resolves
   * when all are bound.
   */
  async answering(
    ns: string,
    uid: number,
    name: string,
    sockets: readonly string[],
  ): Promise<void> {
    const child = spawn(
      'ip',
      ['netns', 'exec', ns, ...asUser(uid), process.execPath, '-e', ANSWERING, name, ...sockets],
      { stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' },
    );
    this.#children.push(child);
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve());
      child.once('exit', (code) => reject(new Error(`${name} ended with ${code}`)));
    });
  }

  /** Who answers a connection by this user; `ETIMEDOUT` after three seconds of silence. */
  async ask(
    ns: string,
    uid: number,
    protocol: 'tcp' | 'udp',
    address: string,
    port: number,
    from = '',
  ): Promise<string> {
    const args = [protocol, address, String(port), from];
    const user = asUser(uid);
    const { stdout, stderr } = await this.run(ns, user[0]!, [
      ...user.slice(1),
      process.execPath,
      '-e',
      ASKING,
      ...args,
    ]);
    return stdout === '' ? stderr : stdout;
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const ns of [this.app, this.peer]) {
      try {
        ip('netns', 'del', ns);
      } catch {
        // Not there any more.
      }
    }
  }
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const programs = { v4: 'iptables', v6: 'ip6tables' } as const;

/** Why these tests cannot run here; false where they can. */
export function namespacesMissing(): string | false {
  if (process.getuid?.() !== 0) return 'needs root for network namespaces';
  for (const program of ['ip', 'iptables-nft-restore', 'ip6tables-nft-restore', 'setpriv']) {
    if (!inPath(program)) return `needs ${program}`;
  }
  const probe = `weft-rd-${process.pid}-try`;
  try {
    ip('netns', 'add', probe);
    execFileSync('ip', ['netns', 'exec', probe, 'iptables-nft-restore', '--test'], {
      input: '*nat\nCOMMIT\n',
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    return false;
  } catch (error) {
    return `needs network namespaces with a nat table: ${(error as Error).message.split('\n')[0]}`;
  } finally {
    try {
      ip('netns', 'del', probe);
    } catch {
      // It was never made.
    }
  }
}

export function inPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((directory) => {
    try {
      accessSync(`${directory}/${program}`);
      return true;
    } catch {
      return false;
    }
  });
}

export function runToEnd(file: string, args: readonly string[], input = ''): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(file, args, { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function asUser(id: number): string[] {
  return [
    'setpriv',
    `--reuid=${id}`,
    `--regid=${id}`,
    '--clear-groups',
    '--inh-caps=+net_bind_service',
    '--ambient-caps=+net_bind_service',
  ];
}

/** Words: name, then `tcp/host/port` or `udp/host/port` each. */
const ANSWERING = `
const [name, ...sockets] = process.argv.slice(1);
let open = sockets.length;
const bound = () => { if (--open === 0) process.stdout.write('ready\\n'); };
for (const socket of sockets) {
  const [protocol, host, port] = socket.split('/');
  if (protocol === 'tcp') {
    require('node:net').createServer((c) => {
      c.on('error', () => {});
      c.end(name + ':' + port + ' from ' + c.remoteAddress.replace('::ffff:', ''));
    }).listen({ host, port: Number(port) }, bound);
  } else {
    const server = require('node:dgram').createSocket(host.includes(':') ? 'udp6' : 'udp4');
    server.on('message', (m, from) => server.send(name + ':' + port + ' from ' + from.address, from.port, from.address));
    server.bind(Number(port), host, bound);
  }
}
`;

const ASKING = `
const [protocol, host, port, from] = process.argv.slice(1);
const say = (text) => { process.stdout.write(text); process.exit(0); };
setTimeout(() => say('ETIMEDOUT'), 3000);
if (protocol === 'tcp') {
  const socket = require('node:net').connect({ host, port: Number(port), autoSelectFamily: false, ...(from ? { localAddress: from } : {}) });
  let text = '';
  socket.on('data', (chunk) => { text += chunk; });
  socket.on('end', () => say(text));
  socket.on('error', (error) => say(error.code));
} else {
  const socket = require('node:dgram').createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (m) => say(m.toString()));
  socket.on('error', (error) => say(error.code));
  socket.connect(Number(port), host, () => socket.send('question'));
}
`;
