import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Family } from './settings.ts';

/** How long one call may take, the wait for the kernel's lock included. */
const CALL_TIMEOUT_MS = 20_000;
const LOCK_WAIT_S = 5;
/** A node with kube-proxy has some ten thousand rules of 200 bytes; beyond this something is wrong. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** The programs of one address family and one backend. */
export interface Iptables {
  readonly family: Family;
  /** `nft`, `legacy`, or `default` where only the plain names are there. */
  readonly backend: Backend;
  readonly restorePath: string;
  readonly savePath: string;
}

export type Backend = 'nft' | 'default' | 'legacy';

export type Found =
  | {
      readonly kind: 'found';
      readonly iptables: Iptables;
      /** The other backend, where it holds rules of this namespace too. Ours from an earlier run can be among them. */
      readonly other: Iptables | null;
      readonly notes: readonly string[];
    }
  /** No such program in PATH. */
  | { readonly kind: 'missing'; readonly message: string }
  /** The kernel refuses for want of CAP_NET_ADMIN. */
  | { readonly kind: 'forbidden'; readonly message: string }
  /** Programs are there, and the kernel has no nat table for this family. */
  | { readonly kind: 'unsupported'; readonly message: string };

export type Ran =
  | { readonly ok: true; readonly output: string }
  | { readonly ok: false; readonly message: string };

const PREFERENCE: readonly Backend[] = ['nft', 'default', 'legacy'];

/**
 * Chooses the backend: nft, unless only legacy works here, or the rules of this namespace are already kept by legacy
 * (Docker on a host with the old programs): what two backends hold has no order between them.
 */
export async function findIptables(family: Family, path: string): Promise<Found> {
  const prefix = family === 'v4' ? 'iptables' : 'ip6tables';
  const there = PREFERENCE.flatMap((backend): Iptables[] => {
    const stem = backend === 'default' ? prefix : `${prefix}-${backend}`;
    const restorePath = findProgram(`${stem}-restore`, path);
    const savePath = findProgram(`${stem}-save`, path);
    return restorePath === '' || savePath === ''
      ? []
      : [{ family, backend, restorePath, savePath }];
  });
  if (there.length === 0) {
    return {
      kind: 'missing',
      message: `${prefix}-restore is not in PATH (${path === '' ? 'empty' : path}); install the package iptables (apt-get install iptables, apk add iptables)`,
    };
  }
  const notes: string[] = [];
  const legacy = there.find(({ backend }) => backend === 'legacy');
  const legacyHolds = legacy !== undefined && (await legacyHoldsRules(legacy));
  if (legacyHolds) {
    notes.push(`${prefix}: the nat table here is kept by iptables-legacy, so it is used too`);
    there.sort((a, b) => Number(b === legacy) - Number(a === legacy));
  }
  const refusals: string[] = [];
  for (const iptables of there) {
    const tried = await restore(iptables, '*nat\nCOMMIT\n', ['--test']);
    if (tried.ok) {
      if (refusals.length > 0)
        notes.push(`${iptables.restorePath} is used: ${refusals.join('; ')}`);
      const other = legacyHolds ? (there.find(({ backend }) => backend === 'nft') ?? null) : null;
      return { kind: 'found', iptables, other: iptables === legacy ? other : null, notes };
    }
    if (isForbidden(tried.message)) {
      return {
        kind: 'forbidden',
        message: `${tried.message}; iptables rules need the capability NET_ADMIN and user 0 (securityContext.capabilities.add: [NET_ADMIN] and runAsUser: 0, docker run --cap-add NET_ADMIN --user 0)`,
      };
    }
    refusals.push(tried.message);
  }
  return { kind: 'unsupported', message: refusals.join('; ') };
}

/** Loads rules beside those that are there. Takes the whole table or, on any error, nothing of it. */
export function restore(
  { restorePath }: Iptables,
  text: string,
  more: readonly string[] = [],
): Promise<Ran> {
  return call(restorePath, ['--noflush', '-w', String(LOCK_WAIT_S), ...more], text);
}

export function save({ savePath }: Iptables): Promise<Ran> {
  return call(savePath, [], '');
}

function isForbidden(message: string): boolean {
  return /permission denied|operation not permitted|must be root/i.test(message);
}

/** Empty where no directory of the path has it. */
export function findProgram(name: string, path: string): string {
  for (const directory of path.split(':')) {
    if (directory === '') continue;
    const file = join(directory, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not in this one.
    }
  }
  return '';
}

/** Runs to its end and never longer than the bound; the message of a failure has the program's own words. */
export function call(file: string, args: readonly string[], input: string): Promise<Ran> {
  return new Promise((resolve) => {
    // No PATH and no locale of ours: the programs need none, and messages are matched in English.
    const env = { LC_ALL: 'C', ...lockFile() };
    const child = spawn(file, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    let errors = '';
    let bytes = 0;
    let problem = '';
    const stop = (why: string) => {
      problem = why;
      child.kill('SIGKILL');
    };
    const timer = setTimeout(
      () => stop(`did not end within ${CALL_TIMEOUT_MS / 1000} s`),
      CALL_TIMEOUT_MS,
    );
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > OUTPUT_BYTES_MAX) stop(`printed more than ${OUTPUT_BYTES_MAX} bytes`);
      else out.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      if (errors.length < 4096) errors += chunk.toString();
    });
    child.stdin.on('error', () => {}); // it ended before it read all; the exit code says why
    child.on('error', (error) => {
      problem = error.message;
      finish(null);
    });
    child.on('close', finish);
    child.stdin.end(input);

    function finish(code: number | null): void {
      clearTimeout(timer);
      if (code === 0 && problem === '') {
        resolve({ ok: true, output: Buffer.concat(out).toString() });
        return;
      }
      const said = errors
        .split('\n')
        .map((line) => line.trim())
        .filter(
          (line) => line !== '' && !line.startsWith('# ') && !/^(Try|Error occurred)/.test(line),
        )
        .join(' ');
      resolve({ ok: false, message: `${file}: ${problem || said || `exit code ${code}`}` });
    }
  });
}

/**
 * iptables-legacy takes its lock by a file in /run, which the read-only root of an init container does not let it make;
 * /dev/shm can be written in every container. Only there: elsewhere the lock is shared with others.
 */
function lockFile(): { readonly XTABLES_LOCKFILE?: string } {
  try {
    accessSync('/run', constants.W_OK);
    return {};
  } catch {
    return { XTABLES_LOCKFILE: '/dev/shm/xtables.lock' };
  }
}

/** Asking legacy itself would load its kernel modules; this file names the tables of this namespace that are in use. */
async function legacyHoldsRules(legacy: Iptables): Promise<boolean> {
  const file = legacy.family === 'v4' ? 'ip_tables_names' : 'ip6_tables_names';
  try {
    if (!readFileSync(`/proc/net/${file}`, 'utf8').split('\n').includes('nat')) return false;
  } catch {
    return false;
  }
  const saved = await save(legacy);
  return saved.ok && /^-A /m.test(saved.output.split('*nat\n')[1]?.split('\nCOMMIT')[0] ?? '');
}
