import { parseArgs } from 'node:util';
import { renderWrappedTable } from '../../cli/demo/wrapped-table.ts';
import type { CommandError } from '../../cli/exit-code.ts';
import { Interruption } from '../../cli/interruption.ts';
import { ROOT } from '../harness/node-process.ts';
import { type CheckResult, composeChecks } from './checks.ts';
import { run } from './command.ts';
import { findCompose } from './compose-program.ts';
import { ComposeProject, type Variant } from './compose-project.ts';

/**
 * `make e2e-compose`: builds the image, and for each variant of examples/compose starts the project under a name of its
 * own, applies policies, checks what the traffic does, stops it and sees that nothing is left; also after a failure or
 * Ctrl-C. Exit code 1 where a check failed or Docker is not there.
 */

const { values } = parseArgs({
  options: {
    variant: { type: 'string', multiple: true, default: ['explicit', 'transparent'] },
    image: { type: 'string', default: 'weft:latest' },
    'no-build': { type: 'boolean', default: false },
    /** `docker compose` or `docker-compose`; default the first of them that is there. */
    compose: { type: 'string', default: process.env['COMPOSE'] ?? '' },
  },
});
const BUILD_TIMEOUT_MS = 900_000;
const TABLE_WIDTHS = [30, 36, 46, 7];
const startMs = performance.now();
const interruption = new Interruption();
const rows: string[][] = [];
let passed = 0;
let failed = 0;
let skipped = 0;

const found = await findCompose(values.compose);
if (!found.ok) {
  say(found.problem);
  process.exit(1);
}
say(`${found.words.join(' ')} ${found.version}`);
try {
  if (!values['no-build']) await buildImage();
  for (const variant of values.variant) {
    if (variant !== 'explicit' && variant !== 'transparent') {
      throw new Error(`--variant ${variant} is neither explicit nor transparent`);
    }
    await checkVariant(variant, found.words);
  }
} catch (error) {
  failed += 1;
  say((error as Error).message);
}
const { signal: stopped } = interruption;
interruption.close();
process.stdout.write(
  `\n${renderWrappedTable(['check', 'expected', 'observed', 'ok'], rows, TABLE_WIDTHS, (text) => text)}\n`,
);
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped, ${seconds()}\n`);
process.exit(stopped.aborted ? (stopped.reason as CommandError).exitCode : failed === 0 ? 0 : 1);

async function buildImage(): Promise<void> {
  say(`building ${values.image}`);
  const done = await run(['make', '--no-print-directory', 'image', `IMAGE=${values.image}`], {
    cwd: ROOT,
    timeoutMs: BUILD_TIMEOUT_MS,
    signal: interruption.signal,
  });
  if (done.code !== 0) {
    const lines = `${done.out}\n${done.err}`.trim().split('\n');
    const first = lines.filter((line) => /error/i.test(line) && !line.startsWith('Step '));
    const said = [...first.slice(0, 5), '…', ...lines.slice(-5)].join('\n');
    throw new Error(`the image was not built; 'make image' says:\n${said}`);
  }
}

async function checkVariant(variant: Variant, compose: readonly string[]): Promise<void> {
  rows.push([`— ${variant} —`, '', '', '']);
  const { signal } = interruption;
  const project = new ComposeProject({ variant, compose, image: values.image, signal });
  try {
    const began = performance.now();
    await interruption.during(project.up());
    const tookS = (performance.now() - began) / 1000;
    tell('compose up', 'every container healthy', {
      observed: `after ${tookS.toFixed(1)} s`,
      ok: true,
    });
    for (const check of composeChecks(variant)) {
      const result = await interruption.during(
        check.run(project).catch((error: unknown) => ({
          observed: (error as Error).message,
          ok: false,
        })),
      );
      tell(check.name, check.expected, result);
    }
  } catch (error) {
    signal.throwIfAborted();
    tell('compose up', 'every container healthy', {
      observed: (error as Error).message,
      ok: false,
    });
  } finally {
    if (failed > 0) await showLogs(project);
    const { code, err } = await project.down();
    const left = await project.leftovers();
    tell('compose down', 'no container, network or volume of the project is left', {
      observed: code === 0 ? left.join(', ') || 'nothing is left' : err.trim().slice(-300),
      ok: code === 0 && left.length === 0,
    });
  }
}

function tell(name: string, expected: string, { observed, ok }: CheckResult): void {
  if (ok === 'skipped') skipped += 1;
  else if (ok) passed += 1;
  else failed += 1;
  const verdict = ok === 'skipped' ? ok : ok ? 'ok' : 'NOT OK';
  rows.push([name, expected, observed.replace(/\s+/g, ' '), verdict]);
  say(`${verdict.padEnd(7)}  ${name}: ${observed}`);
}

async function showLogs(project: ComposeProject): Promise<void> {
  for (const [service, { State }] of await project.containers().catch(() => new Map())) {
    if (!/sidecar|control-plane|redirect|identity/.test(service)) continue;
    const text = await project.logs(service, 6);
    say(`${service} (${State.Status} ${State.Health?.Status ?? State.ExitCode}):\n${text.trim()}`);
  }
}

function say(text: string): void {
  process.stderr.write(`${seconds().padStart(8)}  ${text}\n`);
}

function seconds(): string {
  return `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
}
