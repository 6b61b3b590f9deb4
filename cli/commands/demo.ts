import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandHandler, OptionValues } from '../command-table.ts';
import { DemoMesh } from '../demo/demo-mesh.ts';
import { MeshClient } from '../demo/mesh-client.ts';
import { policyFiles } from '../demo/policy-files.ts';
import { SteadyLoad } from '../demo/steady-load.ts';
import { demoSteps, type StepResult } from '../demo/steps.ts';
import { certificateSerial } from '../demo/traffic.ts';
import { renderWrappedTable } from '../demo/wrapped-table.ts';
import { ExitCode } from '../exit-code.ts';
import { Interruption } from '../interruption.ts';
import type { Terminal } from '../terminal.ts';

/**
 * `weft demo`: starts a mesh on this machine, applies policies one after another under a steady load and checks what
 * the traffic does. Exit 1 where a line is not ok. Ends every process and removes every file it made, also on Ctrl-C.
 */
export const run: CommandHandler = async ({ options, terminal, env }) => {
  const samples = options['samples'] ?? env['WEFT_SAMPLES'];
  const policies = policyFiles(samples === undefined ? undefined : String(samples));
  const startMs = performance.now();
  const seconds = () => `${((performance.now() - startMs) / 1000).toFixed(1).padStart(5)} s`;
  const interruption = new Interruption();
  const mesh = new DemoMesh(interruption.signal, (text) => terminal.talk(`${seconds()}  ${text}`));
  let client: MeshClient | undefined;
  let load: SteadyLoad | undefined;
  const rows: string[][] = [];
  let failed = false;
  const steps = async () => {
    terminal.talk(`${seconds()}  policies from ${policies.source}\n`);
    await mesh.start();
    for (const workload of mesh.workloads) {
      mesh.serials.set(workload, await certificateSerial(mesh.sidecar(workload).settings.admin));
    }
    terminal.talk(`${seconds()}  control plane, six apps and seven sidecars are up\n`);
    client = new MeshClient(mesh.sidecar('client').settings.outbound);
    load = new SteadyLoad(client, LOAD_URLS, LOAD_PER_SECOND, LOAD_AT_ONCE_MAX);
    const whole = load.mark();
    let allowed = 0;
    for (const step of demoSteps(policies)) {
      const before = load.mark();
      let result: StepResult;
      try {
        result = await step.run({ mesh, client, load, policies });
      } catch (error) {
        interruption.signal.throwIfAborted();
        result = { observed: (error as Error).message, ok: false };
      }
      if (step.mayLose === true) allowed += load.since(before).failed;
      failed ||= !result.ok;
      rows.push([step.name, step.expected, result.observed, result.ok ? 'ok' : 'NOT OK']);
      terminal.talk(
        `${seconds()}  ${result.ok ? 'ok    ' : 'NOT OK'}  ${step.name}: ${result.observed}\n`,
      );
    }
    const { sent, failed: lost, failures } = load.since(whole);
    const ok = lost === allowed;
    failed ||= !ok;
    rows.push([
      'the steady load, over all',
      'nothing lost but where a step allows it',
      `${lost - allowed} of ${sent} lost${ok ? '' : ` (${failures.at(-1)})`}`,
      ok ? 'ok' : 'NOT OK',
    ]);
  };
  try {
    await interruption.during(steps());
    const table = renderWrappedTable(
      ['step', 'expected', 'observed', 'ok'],
      rows,
      TABLE_WIDTHS,
      (text, column) =>
        column === 3 && text !== '' ? terminal.colour(text === 'ok' ? 'green' : 'red', text) : text,
    );
    terminal.out(`\n${table}`);
    const okCount = rows.filter((row) => row[3] === 'ok').length;
    terminal.out(`\n${okCount} of ${rows.length} lines ok, ${seconds().trim()}\n`);
    if (failed) terminal.talk(`\ncontrol plane: ${mesh.lastLines('control-plane')}\n`);
    if (options['hold'] === true) {
      showHold(mesh, terminal.out);
      await interruption.wait();
    }
    return failed ? ExitCode.Failure : ExitCode.Ok;
  } catch (error) {
    if (interruption.signal.aborted) throw interruption.signal.reason;
    terminal.talk(`\nthe demo could not go on: ${(error as Error).message}\n`);
    return ExitCode.Failure;
  } finally {
    client?.close();
    load?.stop();
    keepLogs(options['keepLogs'], mesh, terminal);
    await mesh.stop();
    interruption.close();
  }
};

function keepLogs(directory: OptionValues[string], mesh: DemoMesh, terminal: Terminal): void {
  if (directory === undefined) return;
  try {
    mkdirSync(String(directory), { recursive: true });
    cpSync(join(mesh.directory, 'logs'), String(directory), { recursive: true });
  } catch (error) {
    terminal.talk(`the logs could not be kept: ${(error as Error).message}\n`);
  }
}

const LOAD_URLS = [
  'http://productpage:9080/productpage',
  'http://productpage:9080/api/v1/products/0/reviews',
  'http://productpage:9080/api/v1/products/0',
];
/** Fits 100 columns. */
const TABLE_WIDTHS = [24, 32, 32, 6];
const LOAD_PER_SECOND = 30;
const LOAD_AT_ONCE_MAX = 4;

function showHold(mesh: DemoMesh, out: (text: string) => void): void {
  const client = mesh.sidecar('client').settings;
  const page = mesh.sidecar('productpage-v1').settings;
  out(`
The mesh stays up until Ctrl-C.

  configuration API   ${mesh.apiUrl}
  data directory      ${mesh.dataDirectory}
  client's proxy      http://${client.outbound}
  productpage admin   http://${page.admin}    metrics http://${page.prometheus}/stats/prometheus

Try:

  curl -x http://${client.outbound} http://productpage:9080/productpage
  ./weft proxy-status --server ${mesh.apiUrl}
  ./weft apply --server ${mesh.apiUrl} -f examples/bookinfo/policies/reviews-90-10.yaml
`);
}
