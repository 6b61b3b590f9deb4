/** What a health check asks, by what process 1 of the container was started as. */
export type HealthQuestion =
  /** `weft proxy healthcheck`, which reads the sidecar's environment. */
  | { readonly kind: 'sidecar' }
  | { readonly kind: 'http'; readonly url: string }
  /** A role that ends by itself: healthy while it runs. */
  | { readonly kind: 'none' }
  | { readonly kind: 'unknown'; readonly problem: string };

/** `--monitoring` of the control plane. */
const MONITORING_DEFAULT = '127.0.0.1:15014';

/** `commandLine`: `/proc/1/cmdline`, whose words end in NUL; process 1 may be an init that carries Weft's words behind its own. */
export function healthQuestion(
  commandLine: string,
  environment: Readonly<Record<string, string | undefined>>,
): HealthQuestion {
  const words = commandLine.split('\0').slice(0, -1);
  const entry = words.findIndex((word) => word.endsWith('/weft.mjs'));
  if (entry < 0) {
    return {
      kind: 'unknown',
      problem: `process 1 of this container (${words[0] ?? 'none'}) is not Weft; give the container a health check of its own`,
    };
  }
  const [role, ...args] = words.slice(entry + 1);
  switch (role) {
    case 'proxy':
      return { kind: 'sidecar' };
    case 'control-plane':
      return { kind: 'http', url: `http://${monitoringAddress(args, environment)}/ready` };
    default:
      return { kind: 'none' };
  }
}

/** As the flag says, else WEFT_MONITORING, else the default; what listens everywhere is asked on loopback. */
function monitoringAddress(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): string {
  const at = args.findLastIndex((arg) => /^--monitoring(=|$)/.test(arg));
  const flag = at < 0 ? undefined : (args[at]!.split('=')[1] ?? args[at + 1]);
  const address = flag || environment['WEFT_MONITORING'] || MONITORING_DEFAULT;
  return address.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
}
