/**
 * `make test`: vitest for what runs in one process, then every `test/**\/*.tap.ts` as a process of its own.
 * Ends with `N passed, N failed, N skipped`; exit code 1 where anything failed or no test ran.
 * `--only=unit|tap` runs one half, further words filter the files by substring.
 */
import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const SUITE_TIMEOUT_MS = 240_000;
const SUITES_AT_ONCE = 2;

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
  /** Skipped tests with their reasons, failed ones with their names. */
  notes: string[];
}

const root = join(import.meta.dirname, '..');
const only = process.argv.find((word) => word.startsWith('--only='))?.slice('--only='.length);
const filters = process.argv.slice(2).filter((word) => !word.startsWith('--'));

const total: Tally = { passed: 0, failed: 0, skipped: 0, notes: [] };
if (only !== 'tap') add(await runVitest());
if (only !== 'unit') {
  const suites = globSync('test/**/*.tap.ts', { cwd: root })
    .filter((file) => filters.length === 0 || filters.some((word) => file.includes(word)))
    .sort();
  await Promise.all(
    Array.from({ length: SUITES_AT_ONCE }, async () => {
      for (let suite = suites.shift(); suite !== undefined; suite = suites.shift()) {
        add(await runTap(suite));
      }
    }),
  );
}

for (const note of total.notes) console.log(note);
if (total.passed === 0 && total.failed === 0) {
  console.log('no test ran');
  total.failed = 1;
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 ? 1 : 0;

function add(tally: Tally): void {
  total.passed += tally.passed;
  total.failed += tally.failed;
  total.skipped += tally.skipped;
  total.notes.push(...tally.notes);
}

interface VitestReport {
  success: boolean;
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
  }[];
}

async function runVitest(): Promise<Tally> {
  const tally: Tally = { passed: 0, failed: 0, skipped: 0, notes: [] };
  const directory = mkdtempSync(join(tmpdir(), 'weft-vitest-'));
  const report = join(directory, 'report.json');
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  console.log('unit, property and in-process tests …');
  const args = ['run', '--reporter=json', `--outputFile.json=${report}`];
  const code = await run(process.execPath, [vitest, ...args, ...filters], (line) =>
    console.log(line),
  );
  try {
    const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as VitestReport;
    for (const file of testResults) {
      if (file.status === 'failed' && file.assertionResults.length === 0) {
        tally.failed += 1;
        tally.notes.push(`not ok ${file.name}: ${file.message}`);
      }
      for (const test of file.assertionResults) {
        if (test.status === 'passed') tally.passed += 1;
        else if (test.status === 'failed') {
          tally.failed += 1;
          tally.notes.push(`not ok ${file.name}: ${test.fullName}`);
          console.log(`${file.name}: ${test.fullName}\n${test.failureMessages.join('\n')}\n`);
        } else {
          tally.skipped += 1;
          tally.notes.push(`skipped ${test.fullName}`);
        }
      }
    }
  } catch {
    tally.failed += 1;
    tally.notes.push('not ok vitest wrote no report');
  }
  rmSync(directory, { recursive: true, force: true });
  if (code !== 0 && tally.failed === 0) {
    tally.failed += 1;
    tally.notes.push(`not ok vitest exited with ${code} though no test failed`);
  }
  return tally;
}

/** Counts the assertions of the innermost level: those that have no subtest of their own. */
async function runTap(file: string): Promise<Tally> {
  const tally: Tally = { passed: 0, failed: 0, skipped: 0, notes: [] };
  const began = performance.now();
  const output: string[] = [];
  let planned = false;
  const code = await run(process.execPath, [file], (line) => {
    output.push(line);
    if (/^1\.\.\d+/.test(line)) planned = true;
    const result = /^( {0,4})(not ok|ok) \d+(?: - )?(.*)$/.exec(line);
    if (result === null || line.endsWith('{')) return;
    const [, indent, verdict, description] = result;
    const isSubtestSummary =
      indent === '' && output.some((earlier) => /^ {4}(not )?ok /.test(earlier));
    if (isSubtestSummary && verdict === 'ok') return;
    if (/# SKIP/i.test(description ?? '')) {
      tally.skipped += 1;
      tally.notes.push(`skipped ${file}: ${description}`);
    } else if (verdict === 'ok') tally.passed += 1;
    else {
      tally.failed += 1;
      tally.notes.push(`not ok ${file}: ${description}`);
    }
  });
  if (!planned || (code !== 0 && tally.failed === 0)) {
    tally.failed += 1;
    tally.notes.push(`not ok ${file}: exited with ${code}${planned ? '' : ' before its plan'}`);
  }
  if (tally.failed > 0) console.log(output.join('\n'));
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`${file}: ${tally.passed} passed, ${tally.failed} failed (${seconds} s)`);
  return tally;
}

/** Runs to the end, its output line by line; killed with its group after `SUITE_TIMEOUT_MS`. */
function run(command: string, args: string[], onLine: (line: string) => void): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const timer = setTimeout(() => {
      onLine(`not ok 1 - took longer than ${SUITE_TIMEOUT_MS / 1000} s and was ended`);
      endGroup(child.pid);
    }, SUITE_TIMEOUT_MS);
    createInterface({ input: child.stdout }).on('line', onLine);
    child.on('error', (error) => onLine(`not ok 1 - ${error.message}`));
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      endGroup(child.pid);
      resolve(code ?? (signal === null ? 1 : 128));
    });
  });
}

/** What a suite left running: the processes of its group, none where it cleaned up. */
function endGroup(group: number | undefined): void {
  if (group === undefined) return;
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // ESRCH: nobody is left.
  }
}
