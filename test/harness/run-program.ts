import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { Test } from 'tap';
import { inherited } from './node-process.ts';

export interface ProgramRun {
  /** 128 where it was ended by a signal. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Of the output's bytes, of which `stdout` may have made other ones. */
  readonly stdoutBytes: number;
  readonly stdoutSha256: string;
}

/** Runs to its end, or for 30 s, without keeping this process from serving meanwhile. */
export function runProgram(
  command: string,
  args: readonly string[],
  input: string | Uint8Array = '',
): Promise<ProgramRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: inherited(),
      timeout: 30_000,
      killSignal: 'SIGKILL',
    });
    const hash = createHash('sha256');
    const chunks: Buffer[] = [];
    let stdoutBytes = 0;
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      stdoutBytes += chunk.length;
      chunks.push(chunk);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', reject);
    child.once('close', (code) => {
      const stdout = Buffer.concat(chunks).toString();
      resolve({ code: code ?? 128, stdout, stderr, stdoutBytes, stdoutSha256: hash.digest('hex') });
    });
    // One that reads no input may be gone before it is written.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** Runs a program that must end with 0. */
export async function succeeds(
  t: Test,
  command: string,
  args: readonly string[],
  input?: string | Uint8Array,
): Promise<ProgramRun> {
  const run = await runProgram(command, args, input);
  const told = run.code === 0 ? '' : `: ${run.stderr}${run.stdout.slice(0, 2000)}`;
  t.equal(run.code, 0, `${command} ${args.join(' ')}${told}`);
  return run;
}
