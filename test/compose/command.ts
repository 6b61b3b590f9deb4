import { spawn } from 'node:child_process';

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
  /** Ends it. */
  readonly signal?: AbortSignal;
}

const OUTPUT_CHARS_MAX = 4_000_000;

/**
 * Runs a program to its end; never rejects: 127 where it cannot be started, 124 where it took too long. In a session of
 * its own, so that Ctrl-C in a terminal reaches this process alone, which then stops everything in order.
 */
export function run(words: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  const { env = {}, cwd, timeoutMs = 60_000, signal } = options;
  const [program, ...args] = words;
  return new Promise((resolve) => {
    let out = '';
    let err = '';
    let tooLong = false;
    const child = spawn(program!, args, {
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const stop = () => child.kill('SIGTERM');
    const timer = setTimeout(() => {
      tooLong = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    signal?.addEventListener('abort', stop, { once: true });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (out.length < OUTPUT_CHARS_MAX) out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (err.length < OUTPUT_CHARS_MAX) err += text;
    });
    const end = (code: number, problem = '') => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
      resolve({ code, out, err: err + problem });
    };
    child.on('error', ({ message }) => end(127, message));
    child.on('close', (code) => {
      if (tooLong) end(124, `\n${program} took longer than ${timeoutMs / 1000} s and was ended`);
      else end(code ?? 1);
    });
    if (signal?.aborted === true) stop();
  });
}
