import { join } from 'node:path';
import { ROOT } from '../harness/node-process.ts';
import { type Ended, run } from './command.ts';

export type Variant = 'explicit' | 'transparent';

export interface ProjectOptions {
  readonly variant: Variant;
  /** `docker compose` or `docker-compose`, as words. */
  readonly compose: readonly string[];
  /** Of the image under test. */
  readonly image: string;
  readonly signal: AbortSignal;
}

/** What `docker inspect` says of a container, as far as it is asked here. */
export interface Container {
  readonly Name: string;
  readonly State: {
    readonly Status: string;
    readonly ExitCode: number;
    readonly Health?: { readonly Status: string };
  };
  readonly Config: {
    readonly User: string;
    readonly Env: readonly string[];
    readonly Labels: Readonly<Record<string, string>>;
  };
  readonly HostConfig: {
    readonly Privileged: boolean;
    readonly ReadonlyRootfs: boolean;
    readonly CapAdd: readonly string[] | null;
    readonly CapDrop: readonly string[] | null;
  };
}

const UP_TIMEOUT_MS = 240_000;
const DOWN_TIMEOUT_MS = 120_000;
const PROJECT_LABEL = 'com.docker.compose.project';
/** Of containers that compose knows nothing of. */
const OUTSIDER_LABEL = 'dev.weft.e2e';
const SERVICE_LABEL = 'com.docker.compose.service';

/** One of the example's projects under a name of its own, so that it stands beside any other on the machine. */
export class ComposeProject {
  readonly name: string;
  readonly #options: ProjectOptions;
  readonly #file: string;

  constructor(options: ProjectOptions) {
    this.name = `weft-e2e-${options.variant}-${process.pid}`;
    this.#options = options;
    this.#file = join(ROOT, `examples/compose/compose.${options.variant}.yaml`);
  }

  get network(): string {
    return `${this.name}_mesh`;
  }

  /** `docker compose …`; does not reject. */
  compose(words: readonly string[], timeoutMs?: number): Promise<Ended> {
    const { compose, image, signal } = this.#options;
    return run([...compose, '-p', this.name, '-f', this.#file, ...words], {
      // No port of the machine is fixed: empty takes a free one.
      env: {
        WEFT_IMAGE: image,
        PRODUCTPAGE_PORT: '',
        PROMETHEUS_PORT: '',
        GRAFANA_PORT: '',
        ZIPKIN_PORT: '',
        COMPOSE_PROFILES: '',
      },
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      // Stopping is what an interruption asks for.
      ...(words[0] === 'down' ? {} : { signal }),
    });
  }

  async up(...words: string[]): Promise<void> {
    must(await this.compose(['up', '-d', ...words], UP_TIMEOUT_MS), 'compose up');
  }

  /** As a reboot leaves it: no container runs, no network namespace is left, volumes are. */
  async stop(): Promise<void> {
    must(await this.compose(['stop', '--timeout', '10'], DOWN_TIMEOUT_MS), 'compose stop');
  }

  /** Stops and removes the containers of services. */
  async remove(...services: string[]): Promise<void> {
    must(await this.compose(['rm', '-sf', ...services], DOWN_TIMEOUT_MS), 'compose rm');
  }

  /** The command line of the mesh as the README runs it. */
  weft(...words: string[]): Promise<Ended> {
    return this.compose(['run', '--rm', '-T', 'weft', ...words]);
  }

  async apply(...files: string[]): Promise<void> {
    const done = await this.weft('apply', ...files.flatMap((file) => ['-f', `/policies/${file}`]));
    must(done, `weft apply ${files.join(' ')}`);
  }

  async docker(...words: string[]): Promise<string> {
    const done = await run(['docker', ...words], { signal: this.#options.signal });
    must(done, `docker ${words.slice(0, 3).join(' ')}`);
    return done.out;
  }

  async containers(): Promise<Map<string, Container>> {
    const ids = await this.#named(PROJECT_LABEL, 'ps', '-aq');
    if (ids.length === 0) return new Map();
    const all = JSON.parse(await this.docker('inspect', ...ids)) as Container[];
    return new Map(all.map((each) => [each.Config.Labels[SERVICE_LABEL] ?? each.Name, each]));
  }

  /** The container of a service. */
  async container(service: string): Promise<string> {
    const found = (await this.containers()).get(service);
    if (found === undefined) throw new Error(`the project has no container of ${service}`);
    return found.Name.slice(1);
  }

  /** Runs Node.js in the container of a service, in the environment of its app. */
  async node(service: string, ...words: string[]): Promise<string> {
    return this.docker('exec', await this.container(service), 'node', ...words);
  }

  /** Runs a script in a container of the network that is no part of the mesh. */
  async stranger(script: string): Promise<string> {
    return this.outsider(['--rm'], 'node', ['-e', script]);
  }

  /** `docker run` of the base image in the network of the project; goes with it. */
  async outsider(
    options: readonly string[],
    program: string,
    args: readonly string[],
  ): Promise<string> {
    const image = process.env['NODE_IMAGE'] ?? 'node:26-bookworm-slim';
    return this.docker(
      ...['run', '--network', this.network, '--label', `${OUTSIDER_LABEL}=${this.name}`],
      ...[...options, '--entrypoint', program, image, ...args],
    );
  }

  async logs(service: string, lines: number): Promise<string> {
    const name = await this.container(service).catch(() => '');
    if (name === '') return '';
    const { out, err } = await run(['docker', 'logs', '--tail', String(lines), name]);
    return out + err;
  }

  /** Stops and removes all that the project made, its volumes too, and what an interruption left of it. */
  async down(): Promise<Ended> {
    const outsiders = await this.#named(OUTSIDER_LABEL, 'ps', '-aq');
    if (outsiders.length > 0) await run(['docker', 'rm', '-f', '-v', ...outsiders]);
    const words = ['down', '--volumes', '--remove-orphans', '--timeout', '10'];
    const done = await this.compose(words, DOWN_TIMEOUT_MS);
    // Containers of `compose run`.
    const rest = await this.#named(PROJECT_LABEL, 'ps', '-aq');
    if (rest.length === 0) return done;
    await run(['docker', 'rm', '-f', '-v', ...rest]);
    return this.compose(words, DOWN_TIMEOUT_MS);
  }

  /** Whatever on this machine carries the name of the project. */
  async leftovers(): Promise<string[]> {
    const found = await Promise.all([
      this.#named(OUTSIDER_LABEL, 'ps', '-a', '--format', 'container {{.Names}}'),
      this.#named(PROJECT_LABEL, 'ps', '-a', '--format', 'container {{.Names}}'),
      this.#named(PROJECT_LABEL, 'network', 'ls', '--format', 'network {{.Name}}'),
      this.#named(PROJECT_LABEL, 'volume', 'ls', '--format', 'volume {{.Name}}'),
    ]);
    return found.flat();
  }

  async #named(label: string, ...words: string[]): Promise<string[]> {
    const { out } = await run(['docker', ...words, '--filter', `label=${label}=${this.name}`]);
    return out
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  }
}

function must({ code, out, err }: Ended, what: string): void {
  if (code === 0) return;
  const said = `${out}\n${err}`.trim().split('\n').slice(-12).join('\n');
  throw new Error(`${what} ended with ${code}:\n${said}`);
}
