import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectApi } from '../api-connection.ts';
import { type CheckCategory, runChecks } from '../check/check.ts';
import { CHECK_FORMATS, type CheckFormat, CheckOutput } from '../check/check-output.ts';
import type { CommandContext, CommandHandler } from '../command-table.ts';
import { durationFlagMs } from '../duration-flag.ts';
import { CommandError, ExitCode } from '../exit-code.ts';
import { ownVersion } from '../own-version.ts';

/**
 * `weft check`: looks at an installation in a cluster where a kubeconfig names one, else at a control plane through its own API.
 * Exit 1 where a check is ×; warnings (‼) leave 0, as with Linkerd.
 */
export const run: CommandHandler = async (context: CommandContext) => {
  const { options, terminal } = context;
  const format = String(options['output'] ?? 'table') as CheckFormat;
  if (!CHECK_FORMATS.includes(format)) {
    throw new CommandError(
      `-o ${format} is not one of ${CHECK_FORMATS.join(', ')}`,
      '',
      ExitCode.Usage,
    );
  }
  const categories = await chooseChecks(context);
  const output = new CheckOutput(terminal, format);
  const times = {
    nowMs: () => performance.now(),
    wait: (ms: number) => delay(ms),
    waitMs: durationFlagMs('--wait', String(options['wait'] ?? '0s')),
  };
  const reports = await runChecks(categories, times, output.report);
  return output.finish(reports) ? ExitCode.Ok : ExitCode.Failure;
};

async function chooseChecks(context: CommandContext): Promise<CheckCategory[]> {
  const { options, env } = context;
  const dataPlane = options['proxy'] === true;
  const file = kubeconfigFile(context);
  const isLocal =
    options['server'] !== undefined ||
    (file === null && env['KUBERNETES_SERVICE_HOST'] === undefined);
  if (isLocal) {
    if (options['pre'] === true) {
      throw new CommandError(
        '--pre looks at a cluster, and no kubeconfig names one',
        'name it with --kubeconfig FILE',
        ExitCode.Usage,
      );
    }
    const { localChecks } = await import('../check/local-checks.ts');
    const api = connectApi(context);
    return localChecks({ api, version: ownVersion(), nowMs: Date.now, dataPlane });
  }
  const { connectCluster } = await import('../cluster-connection.ts');
  const { readInstallation } = await import('../install-values.ts');
  const { clusterChecks } = await import('../check/cluster-checks.ts');
  return clusterChecks({
    cluster: connectCluster(context, file),
    installation: await readInstallation(context),
    pre: options['pre'] === true,
    dataPlane,
    dataPlaneNamespace: String(options['proxyNamespace'] ?? ''),
    nowMs: Date.now,
  });
}

/** `--kubeconfig`, KUBECONFIG, `~/.kube/config` if it is there; null = none. */
function kubeconfigFile({ options, env }: CommandContext): string | null {
  const named = options['kubeconfig'] ?? env['KUBECONFIG'];
  if (named !== undefined && named !== '') return String(named);
  const usual = join(env['HOME'] ?? homedir(), '.kube', 'config');
  return existsSync(usual) ? usual : null;
}
