import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from './node-process.ts';
import { runProgram } from './run-program.ts';

/** A Python with httpx and h2: `$WEFT_PYTHON`, else `python3` on PATH. `pip install 'httpx[http2]'` brings them. */
const PYTHON = process.env['WEFT_PYTHON'] ?? 'python3';

export const noHttpx = () =>
  spawnSync(PYTHON, ['-c', 'import httpx, h2'], { stdio: 'ignore' }).status === 0
    ? false
    : "no Python with httpx here (pip install 'httpx[http2]', or name one in WEFT_PYTHON)";

/** What `httpx-client.py` found of an app. */
export interface HttpxFindings {
  readonly app: string;
  readonly version: string;
  readonly status: number;
  readonly spoken: string;
  readonly text: string;
  readonly echoed: boolean;
  readonly large: string;
  readonly many: boolean;
}

export async function httpxFindings(
  origin: string,
  authorityFile: string,
): Promise<readonly HttpxFindings[]> {
  const script = join(ROOT, 'test/harness/httpx-client.py');
  const { code, stdout, stderr } = await runProgram(PYTHON, [script, origin, authorityFile]);
  if (code !== 0) throw new Error(stderr);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as HttpxFindings);
}
