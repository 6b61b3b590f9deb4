/**
 * Every command with what help, completion and the dispatcher need to know of it, so that loading one command
 * loads nothing of the others. The handlers live in `commands/`, a file each.
 */
export interface CommandEntry {
  readonly name: string;
  readonly aliases: readonly string[];
  /** Positional arguments as commander writes them: `<kind> [name]`. */
  readonly args: string;
  readonly summary: string;
  readonly options: readonly OptionEntry[];
  readonly subcommands?: readonly string[];
  /** The rest of the command line belongs to another program. */
  readonly passThrough?: boolean;
  readonly load: () => Promise<{ run: CommandHandler }>;
}

export interface OptionEntry {
  /** As commander writes it: `-n, --namespace <name>`. */
  readonly flags: string;
  readonly summary: string;
  readonly fallback?: string;
  readonly choices?: readonly string[];
  /** May be given several times. */
  readonly many?: boolean;
}

export type OptionValues = Readonly<
  Record<string, string | boolean | readonly string[] | undefined>
>;

export interface CommandContext {
  readonly args: readonly string[];
  readonly options: OptionValues;
  readonly terminal: import('./terminal.ts').Terminal;
  readonly env: NodeJS.ProcessEnv;
}

/** The exit code. Throws CommandError for what the person can mend. */
export type CommandHandler = (context: CommandContext) => Promise<number>;

const server: OptionEntry = {
  flags: '--server <url>',
  summary: 'configuration API of the control plane (WEFT_SERVER; default http://127.0.0.1:15080)',
};
const tokenFile: OptionEntry = {
  flags: '--token-file <file>',
  summary: 'bearer token for an API that is not on loopback (WEFT_TOKEN_FILE)',
};
const namespace: OptionEntry = {
  flags: '-n, --namespace <name>',
  summary: 'namespace of objects that name none (default: default)',
};
const allNamespaces: OptionEntry = { flags: '-A, --all-namespaces', summary: 'of every namespace' };
const filename: OptionEntry = {
  flags: '-f, --filename <file>',
  summary: 'file, directory or - for standard input; may be repeated',
  many: true,
};
const recursive: OptionEntry = { flags: '-R, --recursive', summary: 'directories with all below' };
const outputFile: OptionEntry = {
  flags: '-o, --output <file>',
  summary: 'file to write (default standard output)',
};
const api = [server, tokenFile] as const;
const installOptions: readonly OptionEntry[] = [
  {
    flags: '-n, --namespace <name>',
    summary: 'namespace of the control plane (default: weft-system)',
  },
  { flags: '--values <file>', summary: 'values, as for the chart; may be repeated', many: true },
  {
    flags: '--set <path=value>',
    summary: 'one value: controlPlane.replicas=3; may be repeated',
    many: true,
  },
];

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'apply',
    aliases: [],
    args: '',
    summary: 'create or change policy objects from YAML or JSON files',
    options: [
      filename,
      recursive,
      namespace,
      {
        flags: '--dry-run [where]',
        summary: 'check without writing: client (offline) or server',
        choices: ['client', 'server'],
      },
      ...api,
    ],
    load: () => import('./commands/apply.ts'),
  },
  {
    name: 'diff',
    aliases: [],
    args: '',
    summary: 'show what apply would change (exit 0 nothing, 1 something, more: error)',
    options: [filename, recursive, namespace, ...api],
    load: () => import('./commands/diff.ts'),
  },
  {
    name: 'get',
    aliases: [],
    args: '<kinds> [names...]',
    summary: 'list policy objects',
    options: [
      {
        flags: '-o, --output <format>',
        summary: 'output format',
        choices: ['table', 'wide', 'yaml', 'json', 'name'],
        fallback: 'table',
      },
      { flags: '-w, --watch', summary: 'go on with each change' },
      { flags: '-l, --selector <labels>', summary: 'only objects with these labels: a=b,c!=d' },
      { flags: '--no-headers', summary: 'table without its first line' },
      namespace,
      allNamespaces,
      ...api,
    ],
    load: () => import('./commands/get.ts'),
  },
  {
    name: 'delete',
    aliases: [],
    args: '[kind] [names...]',
    summary: 'delete policy objects by name or by file',
    options: [
      filename,
      recursive,
      namespace,
      { flags: '--ignore-not-found', summary: 'what is not there is no error' },
      ...api,
    ],
    load: () => import('./commands/delete.ts'),
  },
  {
    name: 'validate',
    aliases: [],
    args: '[files...]',
    summary: 'check policy files offline',
    options: [filename, recursive],
    load: () => import('./commands/validate.ts'),
  },
  {
    name: 'inject',
    aliases: [],
    args: '',
    summary: 'put the sidecar into the pods of manifests; all the rest of the text stays as it is',
    options: [
      filename,
      recursive,
      namespace,
      outputFile,
      { flags: '--image <image>', summary: "the sidecar's image (default weft:latest)" },
      {
        flags: '--control-plane <host:port>',
        summary: 'xDS and certificates (default weft-control-plane.weft-system.svc:15012)',
      },
      { flags: '--trust-domain <name>', summary: "the mesh's (default cluster.local)" },
      {
        flags: '--native-sidecars <bool>',
        summary: 'init container with restartPolicy Always, Kubernetes 1.29 (default true)',
        choices: ['true', 'false'],
      },
      {
        flags: '--hold-application <bool>',
        summary: 'without native sidecars: start the app when the sidecar is ready (default true)',
        choices: ['true', 'false'],
      },
      {
        flags: '--injection-settings <file>',
        summary:
          'all settings of injection, YAML or JSON (docs/injection.md); flags come before it',
      },
      { flags: '--verbose', summary: 'say what was added to each object' },
    ],
    load: () => import('./commands/inject.ts'),
  },
  {
    name: 'uninject',
    aliases: [],
    args: '',
    summary: 'take out what inject put in: byte for byte, if the text was not edited since',
    options: [filename, recursive, outputFile],
    load: () => import('./commands/uninject.ts'),
  },
  {
    name: 'run',
    aliases: [],
    args: '<command...>',
    summary: 'run an app with a sidecar beside it (explicit mode: no privileges)',
    options: [
      { flags: '--service <name>', summary: 'service that the app is an instance of' },
      { flags: '--version <version>', summary: 'label version', fallback: 'v1' },
      {
        flags: '--port <port[:protocol]>',
        summary:
          'service port, and the app listens there unless --app-port says where; may be repeated',
        many: true,
      },
      {
        flags: '--app-port <port>',
        summary:
          'where the app listens: a number, or auto for a free port; one for each --port. The app finds the first in PORT, each in PORT_<service port>',
        many: true,
      },
      { flags: '--name <name>', summary: 'workload name (default <service>-<version>)' },
      {
        flags: '--service-account <name>',
        summary: 'identity of the workload (default the service)',
      },
      { flags: '--label <key=value>', summary: 'further label; may be repeated', many: true },
      {
        flags: '--address <ip>',
        summary: 'address that other sidecars reach',
        fallback: '127.0.0.1',
      },
      {
        flags: '--outbound <host:port>',
        summary: "the app's proxy (default a free loopback port)",
      },
      {
        flags: '--probe <probe>',
        summary: 'health of the app: tcp, /path or none',
        fallback: 'tcp',
      },
      {
        flags: '--control-plane <host:port>',
        summary: 'xDS and certificates (default that of --data)',
      },
      { flags: '--root-cert <file>', summary: "the control plane's root (default from --data)" },
      {
        flags: '--join-token-file <file>',
        summary: 'join token (default: one is made with --data)',
      },
      {
        flags: '--trust-domain <name>',
        summary: "the control plane's, beside --root-cert (default cluster.local)",
      },
      {
        flags: '--data <dir>',
        summary: 'data directory of a control plane on this machine',
        fallback: 'weft-data',
      },
      { flags: '--state-dir <dir>', summary: 'kept over restarts: last good configuration' },
      { flags: '--log-level <level>', summary: "the sidecar's log level", fallback: 'warn' },
      {
        flags: '--sidecar-log <file>',
        summary: "file for the sidecar's log (default standard error)",
      },
      namespace,
    ],
    passThrough: true,
    load: () => import('./commands/run.ts'),
  },
  {
    name: 'proxy-status',
    aliases: ['ps'],
    args: '[proxy]',
    summary: 'what each sidecar has acknowledged',
    options: [
      {
        flags: '-o, --output <format>',
        summary: 'output format',
        choices: ['table', 'json', 'yaml'],
        fallback: 'table',
      },
      ...api,
    ],
    load: () => import('./commands/proxy-status.ts'),
  },
  {
    name: 'proxy-config',
    aliases: ['pc'],
    args: '<what> [proxy]',
    summary: 'what a sidecar holds: listeners, routes, clusters, endpoints or certs',
    options: [
      {
        flags: '--admin <host:port>',
        summary: "the sidecar's admin address (default found by name)",
      },
      { flags: '--fqdn <host>', summary: 'only of this service' },
      { flags: '--port <number>', summary: 'only of this port' },
      {
        flags: '--direction <direction>',
        summary: 'only inbound or outbound',
        choices: ['inbound', 'outbound'],
      },
      {
        flags: '-o, --output <format>',
        summary: 'output format',
        choices: ['table', 'json', 'yaml'],
        fallback: 'table',
      },
      ...api,
    ],
    subcommands: ['listeners', 'routes', 'clusters', 'endpoints', 'certs'],
    load: () => import('./commands/proxy-config.ts'),
  },
  {
    name: 'token',
    aliases: [],
    args: '<create>',
    summary: 'make a join token for a workload',
    options: [
      { flags: '--service-account <name>', summary: 'identity that the token stands for' },
      { flags: '--ttl <duration>', summary: 'how long it is valid', fallback: '24h' },
      {
        flags: '--to <directory>',
        summary: "write it there as 'token', beside the mesh's 'root-cert.pem', and print nothing",
      },
      namespace,
      ...api,
    ],
    subcommands: ['create'],
    load: () => import('./commands/token.ts'),
  },
  {
    name: 'proxy',
    aliases: [],
    args: '',
    summary: 'the sidecar itself (-c bootstrap.yaml, or by the environment)',
    options: [],
    passThrough: true,
    load: () => import('./commands/proxy.ts'),
  },
  {
    name: 'control-plane',
    aliases: [],
    args: '',
    summary: 'the control plane itself',
    options: [],
    passThrough: true,
    load: () => import('./commands/control-plane.ts'),
  },
  {
    name: 'install',
    aliases: [],
    args: '',
    summary: 'print what an installation in a cluster consists of, for kubectl apply -f -',
    options: [
      ...installOptions,
      { flags: '--skip-crds', summary: 'leave out the policy kinds' },
      { flags: '--crds', summary: 'print the policy kinds alone' },
    ],
    load: () => import('./commands/install.ts'),
  },
  {
    name: 'uninstall',
    aliases: [],
    args: '',
    summary: 'print what an installation consists of, for kubectl delete -f -',
    options: [
      ...installOptions,
      { flags: '--crds', summary: 'the policy kinds too, and so every policy' },
    ],
    load: () => import('./commands/uninstall.ts'),
  },
  {
    name: 'check',
    aliases: [],
    args: '',
    summary: 'look whether an installation, or a control plane on this machine, is well',
    options: [
      { flags: '--pre', summary: 'before an installation: could it be made?' },
      { flags: '--proxy', summary: 'look at the sidecars too' },
      { flags: '--proxy-namespace <name>', summary: 'only at the sidecars of this namespace' },
      { flags: '--wait <duration>', summary: 'for what is still coming up', fallback: '0s' },
      {
        flags: '-o, --output <format>',
        summary: 'output format',
        choices: ['table', 'short', 'json'],
        fallback: 'table',
      },
      { flags: '--kubeconfig <file>', summary: 'names the cluster (KUBECONFIG, ~/.kube/config)' },
      { flags: '--context <name>', summary: 'of the kubeconfig' },
      ...installOptions,
      ...api,
    ],
    load: () => import('./commands/check.ts'),
  },
  {
    name: 'redirect',
    aliases: [],
    args: '',
    summary: "iptables rules that send an app's traffic through its sidecar (needs NET_ADMIN)",
    options: [],
    passThrough: true,
    load: () => import('./commands/redirect.ts'),
  },
  {
    name: 'demo',
    aliases: [],
    args: '',
    summary: 'six apps meshed, routed and secured on this machine, each step checked',
    options: [
      { flags: '--hold', summary: 'keep it up at the end, with addresses and commands to try' },
      {
        flags: '--samples <dir>',
        summary: "Istio's samples/ folder: use its policy files (WEFT_SAMPLES)",
      },
      { flags: '--keep-logs <dir>', summary: 'keep the logs of every process there' },
    ],
    load: () => import('./commands/demo.ts'),
  },
  {
    name: 'version',
    aliases: [],
    args: '',
    summary: 'versions of the command line and of the control plane',
    options: [
      {
        flags: '-o, --output <format>',
        summary: 'output format',
        choices: ['table', 'json'],
        fallback: 'table',
      },
      { flags: '--client', summary: 'only of the command line' },
      ...api,
    ],
    load: () => import('./commands/version.ts'),
  },
  {
    name: 'completion',
    aliases: [],
    args: '<shell>',
    summary: 'completion script for bash, zsh or fish',
    options: [],
    subcommands: ['bash', 'zsh', 'fish'],
    load: () => import('./commands/completion.ts'),
  },
];
