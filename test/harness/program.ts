import { spawnSync } from 'node:child_process';

/** Whether a program can be started: `command` is a path or a name on PATH; `args` make it do nothing. */
export function hasProgram(command: string, args: readonly string[] = ['--version']): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).error === undefined;
}
