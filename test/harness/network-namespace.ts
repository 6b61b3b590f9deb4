import { type ChildProcess, type StdioOptions, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { inherited } from './node-process.ts';

/** Who a program in a namespace runs as. */
export interface User {
  readonly uid: number;
  readonly gid: number;
}

/** The sidecar's, whose traffic the redirect rules leave alone; and any other one for apps. */
export const SIDECAR_USER: User = { uid: 1337, gid: 1337 };
export const APP_USER: User = { uid: 2000, gid: 2000 };

/** Why namespaces cannot be made here, or false: fits the `skip` option of a test. */
export function namespacesMissing(): string | false {
  if (process.platform !== 'linux') return 'network namespaces exist on Linux only';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  for (const [program, flag] of [
    ['ip', '-V'],
    ['setpriv', '--version'],
    ['sysctl', '--version'],
    ['iptables-restore', '--version'],
  ] as const) {
    if (spawnSync(program, [flag]).error !== undefined) return `${program} is not installed here`;
  }
  const probe = `${PREFIX}${process.pid}-probe`;
  const made = spawnSync('ip', ['netns', 'add', probe], { encoding: 'utf8' });
  if (made.status !== 0) return `no network namespace can be made here: ${made.stderr.trim()}`;
  const program = runAs(probe, SIDECAR_USER, [process.execPath, '--version']);
  const ran = spawnSync(program[0]!, program.slice(1), { encoding: 'utf8' });
  spawnSync('ip', ['netns', 'del', probe]);
  if (ran.status === 0) return false;
  return `UID ${SIDECAR_USER.uid} cannot run ${process.execPath}: ${ran.stderr.trim()}`;
}

/**
 * Hosts on one link: each a network namespace of its own with `eth0` on a bridge, which stands in a namespace too, so
 * that nothing of the machine's own network is touched. Host `n` is 10.77.0.n and fd77::n; the default route leads to
 * host 1, so that unknown addresses can be dialled.
 */
export class NetworkNamespaces {
  readonly #switch: string;
  readonly #hosts = new Map<string, HostNamespace>();
  readonly #processes = new Set<ChildProcess>();

  constructor() {
    removeStale();
    this.#switch = `${PREFIX}${process.pid}-${serial++}-switch`;
    ip('netns', 'add', this.#switch);
    ip('-n', this.#switch, 'link', 'add', 'bridge', 'type', 'bridge', 'forward_delay', '0');
    ip('-n', this.#switch, 'link', 'set', 'bridge', 'up');
  }

  /** `ipv6: false`: without an address of that family. */
  add(name: string, options: { readonly ipv6?: boolean } = {}): HostNamespace {
    const number = this.#hosts.size + 1;
    const namespace = this.#switch.replace(/switch$/, name);
    const host = new HostNamespace(name, namespace, number, options.ipv6 ?? true, this.#processes);
    this.#hosts.set(name, host);
    const port = `port${number}`;
    ip('netns', 'add', namespace);
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    // Duplicate address detection would keep addresses unusable for a second or two.
    host.sysctl('net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0');
    // As in containers: any user may have port 80.
    host.sysctl('net.ipv4.ip_unprivileged_port_start=0');
    const peer = ['peer', 'name', port, 'netns', this.#switch];
    ip('-n', namespace, 'link', 'add', 'eth0', 'type', 'veth', ...peer);
    ip('-n', this.#switch, 'link', 'set', port, 'master', 'bridge', 'up');
    ip('-n', namespace, 'link', 'set', 'eth0', 'up');
    ip('-n', namespace, 'addr', 'add', `${host.v4}/24`, 'dev', 'eth0');
    const gateway = (address: string) => (number === 1 ? [] : ['via', address]);
    ip('-n', namespace, 'route', 'add', 'default', ...gateway('10.77.0.1'), 'dev', 'eth0');
    if (options.ipv6 ?? true) {
      ip('-n', namespace, 'addr', 'add', `${host.v6}/64`, 'dev', 'eth0', 'nodad');
      ip('-n', namespace, '-6', 'route', 'add', 'default', ...gateway('fd77::1'), 'dev', 'eth0');
    }
    return host;
  }

  /** Ends every process started in them and removes them. */
  async close(): Promise<void> {
    await Promise.all([...this.#processes].map(endProcess));
    for (const { namespace } of this.#hosts.values()) removeNamespace(namespace);
    removeNamespace(this.#switch);
  }
}

/** One host. */
export class HostNamespace {
  readonly name: string;
  readonly namespace: string;
  readonly v4: string;
  readonly v6: string;
  readonly #hasV6: boolean;
  readonly #processes: Set<ChildProcess>;

  constructor(
    name: string,
    namespace: string,
    number: number,
    hasV6: boolean,
    processes: Set<ChildProcess>,
  ) {
    this.name = name;
    this.namespace = namespace;
    this.v4 = `10.77.0.${number}`;
    this.v6 = `fd77::${number.toString(16)}`;
    this.#hasV6 = hasV6;
    this.#processes = processes;
  }

  get addresses(): readonly string[] {
    return this.#hasV6 ? [this.v4, this.v6] : [this.v4];
  }

  /** The words that run a program here: as root, or as `user` without a capability. */
  command(program: readonly string[], user?: User): readonly [string, ...string[]] {
    return user === undefined
      ? ['ip', 'netns', 'exec', this.namespace, ...program]
      : runAs(this.namespace, user, program);
  }

  /** Starts a program here; it is ended with the namespaces. */
  spawn(
    program: readonly string[],
    options: {
      readonly user?: User;
      readonly stdio?: StdioOptions;
      readonly env?: NodeJS.ProcessEnv;
      readonly cwd?: string;
    } = {},
  ): ChildProcess {
    const [command, ...args] = this.command(program, options.user);
    const child = spawn(command, args, {
      stdio: options.stdio ?? 'inherit',
      env: { ...inherited(), ...options.env },
      cwd: options.cwd,
    });
    this.keep(child);
    return child;
  }

  /** A process started elsewhere with `command` that has to end with the namespaces. */
  keep(child: ChildProcess): void {
    this.#processes.add(child);
    child.once('exit', () => this.#processes.delete(child));
    child.once('error', () => this.#processes.delete(child));
  }

  /** Runs a program to its end as root; throws with its complaint where it fails. */
  run(program: readonly string[], options: { readonly input?: string } = {}): string {
    const [command, ...args] = this.command(program);
    const done = spawnSync(command, args, { encoding: 'utf8', timeout: 30_000, ...options });
    if (done.status === 0) return done.stdout;
    throw new Error(`${this.name}: ${program.join(' ')}: ${done.error ?? done.stderr.trim()}`);
  }

  /** What programs that start here from now on find in /etc/resolv.conf. */
  setResolvConf(text: string): void {
    const directory = filesOf(this.namespace);
    mkdirSync(directory, { recursive: true });
    writeFileSync(`${directory}/resolv.conf`, text);
  }

  sysctl(...settings: string[]): void {
    this.run(['sysctl', '-q', '-w', ...settings]);
  }
}

/** `ip netns exec` lays them over /etc. */
function filesOf(namespace: string): string {
  return `/etc/netns/${namespace}`;
}

function removeNamespace(namespace: string): void {
  spawnSync('ip', ['netns', 'del', namespace]);
  rmSync(filesOf(namespace), { recursive: true, force: true });
}

const PREFIX = 'weft-test-';
let serial = 0;

function runAs(
  namespace: string,
  { uid, gid }: User,
  program: readonly string[],
): [string, ...string[]] {
  const identity = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
  const powerless = ['--inh-caps=-all', '--bounding-set=-all', '--no-new-privs'];
  return ['ip', 'netns', 'exec', namespace, 'setpriv', ...identity, ...powerless, ...program];
}

function ip(...args: string[]): void {
  const done = spawnSync('ip', args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`ip ${args.join(' ')}: ${done.error ?? done.stderr}`);
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), END_GRACE_MS);
  await exited;
  clearTimeout(timer);
}

const END_GRACE_MS = 5000;

/** Namespaces of runs that were killed before they could clean up. */
function removeStale(): void {
  let names: string[] = [];
  try {
    names = readdirSync('/run/netns');
  } catch {
    return;
  }
  for (const name of names) {
    const pid = Number(/^weft-test-(\d+)-/.exec(name)?.[1] ?? 0);
    if (pid > 0 && !isAlive(pid)) removeNamespace(name);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
