import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { ControlPlaneOptions, KubernetesOptions } from './control-plane-options.ts';
import { DURATION_MS_MAX, parseDurationMs } from './kinds/duration.ts';
import { AUTHORITY_SECRET, TOKEN_AUDIENCE } from './kubernetes/own-objects.ts';
import { type ListenAddress, parseListenAddress } from './listen-address.ts';
import { DEBOUNCE_DEFAULTS } from './mesh/debounce.ts';
import { MESH_DEFAULTS } from './mesh/mesh-options.ts';
import { REGISTRATION_DEFAULTS } from './registry/workload-registrations.ts';

export interface ControlPlaneFlags {
  readonly options: ControlPlaneOptions;
  readonly logLevel: string;
}

export type ParsedFlags =
  | { readonly kind: 'run'; readonly flags: ControlPlaneFlags }
  /** Help was asked for and printed (0), or the flags are wrong, which was said (64). */
  | { readonly kind: 'exit'; readonly exitCode: number };

export interface FlagOutput {
  readonly out: (text: string) => void;
  readonly talk: (text: string) => void;
}

/** Reads `weft control-plane`'s flags, each of which may also come as `WEFT_<FLAG>` (`--xds` as `WEFT_XDS`). */
export function parseControlPlaneFlags(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  version: string,
  output: FlagOutput,
): ParsedFlags {
  const command = new Command('weft control-plane')
    .description('The control plane: discovery, certificates and the configuration API.')
    .exitOverride()
    .allowExcessArguments(false)
    .showSuggestionAfterError(true)
    .configureOutput({ writeOut: output.out, writeErr: output.talk });
  const fromEnvironment: string[] = [];
  for (const { flag, summary, fallback, read, choices } of FLAGS) {
    const option = new Option(flag, summary);
    const name = option.attributeName();
    const variable = `WEFT_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
    const value = env[variable];
    if (option.isBoolean()) {
      if (value === 'true') fromEnvironment.push(option.long!);
    } else if (value !== undefined && value !== '') {
      fromEnvironment.push(`${option.long}=${value}`);
    }
    if (choices !== undefined) option.choices([...choices]);
    else if (read !== undefined) option.argParser(read);
    if (fallback !== undefined) {
      option.default(read === undefined ? fallback : read(fallback), fallback);
    }
    command.addOption(option);
  }
  try {
    command.parse([...fromEnvironment, ...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { kind: 'exit', exitCode: error.exitCode === 0 ? 0 : USAGE_EXIT_CODE };
  }
  const values = command.opts<FlagValues>();
  const idle = (['kubeconfig', 'kubernetesContext'] as const).find((name) => values[name]);
  if (idle !== undefined && values.kubernetes !== true) {
    const flag = idle === 'kubeconfig' ? '--kubeconfig' : '--kubernetes-context';
    output.talk(`error: ${flag} says nothing without --kubernetes\n`);
    return { kind: 'exit', exitCode: USAGE_EXIT_CODE };
  }
  return {
    kind: 'run',
    flags: {
      logLevel: values.logLevel,
      options: {
        dataDirectory: values.data,
        xds: values.xds,
        api: values.api,
        monitoring: values.monitoring,
        plaintextXds: values.plaintextXds ?? null,
        mesh: {
          ...MESH_DEFAULTS,
          domain: values.clusterDomain,
          trustDomain: values.trustDomain,
          rootNamespace: values.rootNamespace,
          outboundTrafficPolicy: values.outboundTrafficPolicy,
          accessLogFile: values.accessLog ?? '',
          accessLogEncoding: values.accessLogEncoding,
          protocolDetectionTimeoutMs: values.protocolDetectionTimeout,
        },
        trustDomainAliases: values.trustDomainAliases ?? [],
        serverNames: values.serverNames ?? [],
        workloadCertTtlMs: values.workloadCertTtl,
        registrationLeaseMs: values.registrationLease,
        debounce: { quietMs: values.debounce, maxMs: values.debounceMax },
        store: values.store,
        replica: {
          podNamespace: values.podNamespace ?? null,
          podName: values.podName ?? hostname(),
          leaseDurationMs: values.leaseDuration,
          caSecret: values.caSecret,
        },
        kubernetes: values.kubernetes === true ? kubernetesOptions(values, env) : null,
        webhooks: values.webhooks ?? null,
        injectionSettings: values.injectionSettings ?? null,
        apiToken: values.apiTokenFile,
        version,
      },
    },
  };
}

function kubernetesOptions(values: FlagValues, env: NodeJS.ProcessEnv): KubernetesOptions {
  return {
    kubeconfig: values.kubeconfig ?? null,
    context: values.kubernetesContext ?? '',
    serviceHost: env['KUBERNETES_SERVICE_HOST'],
    servicePort: env['KUBERNETES_SERVICE_PORT'],
    tokenAudiences: values.tokenAudiences,
  };
}

/** EX_USAGE of sysexits(3): tells wrong flags from a failed start (1). */
const USAGE_EXIT_CODE = 64;

interface FlagValues {
  data: string;
  xds: ListenAddress;
  api: ListenAddress;
  monitoring: ListenAddress;
  plaintextXds?: ListenAddress;
  kubernetes?: boolean;
  kubeconfig?: string;
  kubernetesContext?: string;
  clusterDomain: string;
  tokenAudiences: string[];
  trustDomain: string;
  trustDomainAliases?: string[];
  serverNames?: string[];
  rootNamespace: string;
  outboundTrafficPolicy: 'ALLOW_ANY' | 'REGISTRY_ONLY';
  accessLog?: string;
  accessLogEncoding: 'TEXT' | 'JSON';
  workloadCertTtl: number;
  registrationLease: number;
  protocolDetectionTimeout: number;
  debounce: number;
  debounceMax: number;
  apiTokenFile?: string;
  store: 'sqlite' | 'kubernetes';
  webhooks?: ListenAddress;
  injectionSettings?: string;
  podNamespace?: string;
  podName?: string;
  leaseDuration: number;
  caSecret: string;
  logLevel: string;
}

interface Flag {
  readonly flag: string;
  readonly summary: string;
  readonly fallback?: string;
  readonly read?: (text: string) => unknown;
  readonly choices?: readonly string[];
}

const FLAGS: readonly Flag[] = [
  {
    flag: '--data <dir>',
    summary: 'policies, authority and registrations are kept here',
    fallback: 'weft-data',
  },
  {
    flag: '--xds <host:port>',
    summary: 'discovery and certificate signing over TLS',
    fallback: '127.0.0.1:15012',
    read: listenAddress,
  },
  {
    flag: '--api <host:port>',
    summary: 'configuration API; beyond loopback it needs --api-token-file',
    fallback: '127.0.0.1:15080',
    read: listenAddress,
  },
  {
    flag: '--monitoring <host:port>',
    summary: 'Prometheus /metrics, /healthz, /ready',
    fallback: '127.0.0.1:15014',
    read: listenAddress,
  },
  {
    flag: '--plaintext-xds <host:port>',
    summary: 'discovery without identity, read only, on loopback (127.0.0.1:15010)',
    read: listenAddress,
  },
  {
    flag: '--kubernetes',
    summary: 'services, pods and their identities come from a Kubernetes cluster',
  },
  {
    flag: '--kubeconfig <file>',
    summary: 'how to reach it; without, the service account of this pod',
  },
  { flag: '--kubernetes-context <name>', summary: 'of --kubeconfig (its current-context)' },
  {
    flag: '--cluster-domain <name>',
    summary: 'DNS domain of services',
    fallback: MESH_DEFAULTS.domain,
  },
  {
    flag: '--token-audiences <names>',
    summary: 'a service account token must be meant for one of these',
    fallback: `${TOKEN_AUDIENCE},istio-ca`,
    read: list,
  },
  {
    flag: '--trust-domain <name>',
    summary: 'SPIFFE trust domain',
    fallback: MESH_DEFAULTS.trustDomain,
  },
  {
    flag: '--trust-domain-aliases <names>',
    summary: 'further trust domains whose identities count as our own',
    read: list,
  },
  {
    flag: '--server-names <names>',
    summary: 'further host names and addresses in the certificate of --xds',
    read: list,
  },
  {
    flag: '--root-namespace <name>',
    summary: 'policies of this namespace hold for the whole mesh',
    fallback: MESH_DEFAULTS.rootNamespace,
  },
  {
    flag: '--outbound-traffic-policy <policy>',
    summary: 'calls to hosts that the mesh does not know',
    fallback: MESH_DEFAULTS.outboundTrafficPolicy,
    choices: ['ALLOW_ANY', 'REGISTRY_ONLY'],
  },
  { flag: '--access-log <path>', summary: "the sidecars' access log, e.g. /dev/stdout (off)" },
  {
    flag: '--access-log-encoding <format>',
    summary: 'of --access-log',
    fallback: MESH_DEFAULTS.accessLogEncoding,
    choices: ['TEXT', 'JSON'],
  },
  {
    flag: '--workload-cert-ttl <duration>',
    summary: 'life of a workload certificate',
    fallback: '24h',
    // A certificate's times are whole seconds.
    read: duration(5000),
  },
  {
    flag: '--registration-lease <duration>',
    summary: "how long an endpoint outlives its sidecar's stream",
    fallback: `${REGISTRATION_DEFAULTS.leaseMs}ms`,
    read: duration(0),
  },
  {
    flag: '--protocol-detection-timeout <duration>',
    summary:
      'peers that say nothing are taken for opaque bytes after this time; 0s = wait for ever',
    fallback: `${MESH_DEFAULTS.protocolDetectionTimeoutMs / 1000}s`,
    read: duration(0),
  },
  {
    flag: '--debounce <duration>',
    summary: 'changes are pushed after this time without a further one',
    fallback: `${DEBOUNCE_DEFAULTS.quietMs}ms`,
    read: duration(0),
  },
  {
    flag: '--debounce-max <duration>',
    summary: 'and after this time in any case',
    fallback: `${DEBOUNCE_DEFAULTS.maxMs}ms`,
    read: duration(0),
  },
  {
    flag: '--store <where>',
    summary: 'policies and authority: in --data, or in the cluster, for several replicas',
    fallback: 'sqlite',
    choices: ['sqlite', 'kubernetes'],
  },
  {
    flag: '--webhooks <host:port>',
    summary: 'admission webhooks over TLS: injection and validation (0.0.0.0:15017)',
    read: listenAddress,
  },
  {
    flag: '--injection-settings <file>',
    summary: 'what the webhook injects, YAML, read again when it changes (defaults)',
  },
  {
    flag: '--pod-namespace <name>',
    summary: 'namespace of this control plane, its Lease and its Secret; that of its credentials',
  },
  { flag: '--pod-name <name>', summary: 'name of this replica, in the Lease; the host name' },
  {
    flag: '--lease-duration <duration>',
    summary: 'how long others wait for a leader that is gone',
    fallback: '15s',
    read: duration(1000),
  },
  {
    flag: '--ca-secret <name>',
    summary: "Secret with the authority, as Istio's cacerts; made where there is none",
    fallback: AUTHORITY_SECRET,
  },
  { flag: '--api-token-file <file>', summary: 'bearer token that API callers show', read: secret },
  {
    flag: '--log-level <level>',
    summary: 'debug, info, warn, error',
    fallback: 'info',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'silent'],
  },
];

function listenAddress(text: string): ListenAddress {
  const address = parseListenAddress(text);
  if (address === null)
    throw new InvalidArgumentError('Write it as 127.0.0.1:15012 or [::1]:15012.');
  return address;
}

function duration(minMs: number): (text: string) => number {
  return (text) => {
    const ms = parseDurationMs(text);
    if (ms === undefined || ms < minMs || ms > DURATION_MS_MAX) {
      const least = minMs > 0 ? `, at least ${minMs / 1000}s` : '';
      throw new InvalidArgumentError(`Write a duration such as 24h, 10s or 100ms${least}.`);
    }
    return ms;
  };
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

function secret(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new InvalidArgumentError(`It cannot be read: ${(error as Error).message}.`);
  }
}
