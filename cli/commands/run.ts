import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandContext, CommandHandler } from '../command-table.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { Interruption } from '../interruption.ts';
import { Child } from '../run/child-process.ts';
import { findMeshAccess } from '../run/mesh-access.ts';
import { proxyEnvironment } from '../run/proxy-environment.ts';
import { type RunFlags, readRunFlags } from '../run/run-flags.ts';
import { SidecarProcess } from '../run/sidecar-process.ts';

/**
 * `weft run --service reviews --version v2 --port 9080 -- node app.js`: a sidecar in explicit mode beside the app. The
 * app starts when the sidecar is ready, with HTTP_PROXY pointing at it; when the app ends, so does the sidecar, after
 * its drain, and the app's exit code is ours. Signals go to the app; before it runs they end the start, with 128 + n.
 */
export const run: CommandHandler = async (context) => {
  const [command, ...commandArgs] = context.args;
  if (command === undefined) {
    throw new CommandError(
      'no app to run',
      'put it behind --: weft run --service s --port 9080 -- node app.js',
      ExitCode.Usage,
    );
  }
  const flags = await readRunFlags(context.options);
  const interruption = new Interruption();
  const directory = mkdtempSync(join(tmpdir(), 'weft-run-'));
  let sidecar: SidecarProcess | undefined;
  try {
    const access = findMeshAccess(context.options, flags, directory, interruption.signal);
    const settings = { ...flags, ...(await interruption.during(access)) };
    sidecar = startSidecar(context, settings, directory);
    await interruption.during(sidecar.ready(READY_TIMEOUT_MS));
    const app = Child.start(command, commandArgs, {
      stdio: 'inherit',
      env: {
        ...personsEnvironment(context.env),
        ...proxyEnvironment(flags.outbound),
        ...flags.appEnvironment,
      },
    });
    interruption.onEach((signal) => {
      if (!fromTerminal(signal)) app.kill(signal);
    });
    const { code, startError } = await app.ended;
    if (startError !== '') {
      context.terminal.talk(`weft: ${command} could not be started: ${startError}\n`);
    }
    return code;
  } finally {
    // It drains; whoever asks once more will not wait for that.
    interruption.onEach(() => sidecar?.kill('SIGKILL'));
    await sidecar?.stop();
    rmSync(directory, { recursive: true, force: true });
    interruption.close();
  }
};

function startSidecar(
  { options, terminal }: CommandContext,
  settings: RunFlags & Awaited<ReturnType<typeof findMeshAccess>>,
  directory: string,
): SidecarProcess {
  const sidecar = new SidecarProcess({
    settings: {
      ...settings,
      // Without one a sidecar that is started again could not go on without its join token and the control plane.
      stateDirectory: settings.stateDirectory || join(directory, 'state'),
    },
    directory,
    logLevel: String(options['logLevel']),
    logFile: String(options['sidecarLog'] ?? ''),
    onRestart: (code) => terminal.talk(`weft: the sidecar ended with ${code}; it starts again\n`),
  });
  const { workload, outbound, admin, prometheus } = settings;
  terminal.talk(
    `weft: sidecar of ${workload}: proxy ${outbound}, admin ${admin}, metrics ${prometheus}\n`,
  );
  return sidecar;
}

/** What a terminal sends goes to the app as well as to us: sent on, it would reach the app twice. */
function fromTerminal(signal: NodeJS.Signals): boolean {
  return signal !== 'SIGTERM' && process.stdin.isTTY === true;
}

/** The environment as the person gave it: without the cache that ./weft sets for itself. */
function personsEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NODE_COMPILE_CACHE: cache, ...rest } = env;
  return cache === undefined || cache.endsWith('node_modules/.cache/weft') ? rest : env;
}

const READY_TIMEOUT_MS = 30_000;
