import { packAny } from '../../../proto/any.ts';
import { type FieldPath, formatPath } from '../../../proto/field-path.ts';
import type { Bootstrap as BootstrapProto } from '../../../proto/gen/envoy/config/bootstrap/v3/bootstrap.ts';
import type { Node } from '../../../proto/gen/envoy/config/core/v3/base.ts';
import type { Any } from '../../../proto/gen/google/protobuf/any.ts';
import { readJson } from '../../../proto/json.ts';
import { TYPE_CLUSTER, TYPE_LISTENER } from '../../../proto/type-urls.ts';
import type { ListenerConfig } from '../../listener/listener-config.ts';
import type { HostPort } from '../../tcp/socket-address.ts';
import type { ClusterConfig } from '../../upstream/cluster-config.ts';
import { compileAddress } from '../compile/address.ts';
import { compileCluster } from '../compile/cluster.ts';
import type { CompileContext } from '../compile/compile-context.ts';
import { compileListener } from '../compile/listener.ts';
import { MessageReader } from '../compile/message-reader.ts';
import { type Compiled, type Problem, Problems } from '../compile/problems.ts';
import { compileSecret, type NamedSecret } from '../compile/secret.ts';
import {
  type ControlPlaneAddress,
  isDynamic,
  readControlPlaneAddress,
} from './control-plane-address.ts';
import { compileOverloadManager } from './overload-manager.ts';
import { readSettings, type WeftSettings } from './settings.ts';
import { parseYamlFile, type YamlFile } from './yaml-file.ts';

/** Envoy's bootstrap, checked and compiled: all that a proxy knows before it asks anybody. */
export interface Bootstrap {
  readonly message: BootstrapProto;
  readonly node: Node;
  readonly settings: WeftSettings;
  readonly admin: HostPort | null;
  readonly listeners: readonly StaticResource<ListenerConfig>[];
  readonly clusters: readonly StaticResource<ClusterConfig>[];
  readonly secrets: readonly NamedSecret[];
  /** Null: the static resources are all there is. */
  readonly controlPlane: ControlPlaneAddress | null;
  /** Which types come from the control plane. */
  readonly dynamicListeners: boolean;
  readonly dynamicClusters: boolean;
  /** Connections of all listeners together; 0 = by the open files. */
  readonly connectionsMax: number;
}

export interface StaticResource<T> {
  readonly config: T;
  /** As written, for /config_dump. */
  readonly resource: Any;
}

/** A bootstrap, or complete lines `file:line:column: path: message`. */
export type LoadedBootstrap =
  | { readonly ok: true; readonly bootstrap: Bootstrap }
  | { readonly ok: false; readonly problems: readonly string[] };

export interface BootstrapOverrides {
  /** `--service-node`, `--service-cluster`; '' = as written. */
  readonly node: string;
  readonly cluster: string;
}

export type ContextAt = (root: FieldPath) => CompileContext;

/** Reads, checks and compiles a bootstrap in YAML or JSON. Every mistake is reported with its place. */
export function loadBootstrap(
  text: string,
  fileName: string,
  overrides: BootstrapOverrides,
  contextAt: ContextAt,
): LoadedBootstrap {
  const file = parseYamlFile(text, fileName);
  if ('problems' in file) return { ok: false, problems: file.problems };
  const read = readJson('envoy.config.bootstrap.v3.Bootstrap', file.value);
  if (read.problems.length > 0) return failure(file, read.problems);
  const compiled = compileBootstrap(read.message, overrides, contextAt);
  if (!compiled.ok) return failure(file, compiled.problems);
  return { ok: true, bootstrap: compiled.value };
}

function failure(file: YamlFile, problems: readonly Problem[]): LoadedBootstrap {
  const lines = problems.map(({ path, message }) => {
    const where = formatPath(path);
    return `${file.locate(path)}: ${where === '' ? message : `${where}: ${message}`}`;
  });
  return { ok: false, problems: [...new Set(lines)] };
}

/** Fields that change nothing here; the reason stands beside each. */
const PASSED_OVER = [
  'nodeContextParams', // for resource names of the xdstp kind, which are not used
  'flagsPath', // there are no flag files
  'statsFlushInterval', // nothing is pushed to a statistics sink
  'statsFlush',
  'deferredStatOptions',
  'enableDispatcherStats',
  'statsServerVersionOverride',
  'useTcpForDnsLookups', // the resolvers of the host are used
  'dnsResolutionConfig',
  'typedDnsResolverConfig',
  'defaultSocketInterface',
  'perfTracingFilePath',
  'defaultRegexEngine', // RE2 is the only engine
  'grpcAsyncClientManagerConfig',
  'applicationLogConfig', // the log format is JSON, see --log-format
] as const satisfies readonly (keyof BootstrapProto)[];

function compileBootstrap(
  message: BootstrapProto,
  overrides: BootstrapOverrides,
  contextAt: ContextAt,
): Compiled<Bootstrap> {
  const problems = new Problems();
  const reader = new MessageReader(problems, 'envoy.config.bootstrap.v3.Bootstrap', message);
  for (const field of PASSED_OVER) reader.take(field);
  const dynamic = isDynamic(message);
  const node = readNode(reader.take('node'), overrides);
  const settings = readSettings(node.metadata ?? {}, dynamic, problems);
  const manager = reader.child('clusterManager');
  manager?.take('localClusterName'); // zone preference is decided by the control plane
  manager?.take('enableDeferredClusterCreation');
  const resources = reader.take('staticResources');
  const clusters = (resources?.clusters ?? []).map((cluster, index) => {
    const root = ['static_resources', 'clusters', index];
    const config = keep(compileCluster(cluster, 'static', contextAt(root)), problems);
    return { config, resource: packAny(TYPE_CLUSTER, cluster) };
  });
  const listeners = (resources?.listeners ?? []).map((listener, index) => {
    const root = ['static_resources', 'listeners', index];
    const config = keep(compileListener(listener, 'static', contextAt(root)), problems);
    return { config, resource: packAny(TYPE_LISTENER, listener) };
  });
  const secrets = (resources?.secrets ?? []).map((secret, index) =>
    keep(compileSecret(secret, contextAt(['static_resources', 'secrets', index])), problems),
  );
  const compiledClusters = clusters.filter(hasConfig);
  checkUnique('clusters', compiledClusters, problems);
  checkUnique('listeners', listeners.filter(hasConfig), problems);
  const byName = new Map(compiledClusters.map(({ config }) => [config.name, config]));
  const context = contextAt([]);
  const sources = reader.child('dynamicResources');
  const ads = sources?.child('adsConfig');
  const controlPlane =
    ads === undefined ? undefined : readControlPlaneAddress(ads, byName, settings, context);
  const dynamicListeners = takesFromAds(sources, 'ldsConfig', dynamic);
  const dynamicClusters = takesFromAds(sources, 'cdsConfig', dynamic);
  if (dynamic && node.id === '') {
    problems.add(['node'], 'id must be set where configuration comes from a control plane');
  }
  const overload = reader.child('overloadManager');
  const connectionsMax = overload === undefined ? 0 : compileOverloadManager(overload);
  const admin = reader.child('admin');
  for (const field of ['accessLog', 'accessLogPath', 'profilePath', 'socketOptions'] as const) {
    admin?.take(field); // the admin port keeps no log of its own
  }
  admin?.take('ignoreGlobalConnLimit'); // it has a limit of its own
  const adminAddress = admin?.child('address');
  if (admin !== undefined && adminAddress === undefined) admin.problem('address', 'must be set');
  const bound = compileAddress(adminAddress, 'ip');
  reader.finish();
  return problems.finish({
    message: { ...message, node },
    node,
    settings,
    admin: adminAddress === undefined ? null : bound,
    listeners: listeners.filter(hasConfig),
    clusters: compiledClusters,
    secrets: secrets.filter((secret) => secret !== undefined),
    controlPlane: controlPlane ?? null,
    dynamicListeners,
    dynamicClusters,
    connectionsMax,
  });
}

function readNode(node: Node | undefined, overrides: BootstrapOverrides): Node {
  return {
    locality: undefined,
    extensions: [],
    clientFeatures: [],
    listeningAddresses: [],
    ...node,
    id: overrides.node || (node?.id ?? ''),
    cluster: overrides.cluster || (node?.cluster ?? ''),
    metadata: node?.metadata ?? {},
    userAgentName: node?.userAgentName || 'weft',
    userAgentVersionType: node?.userAgentVersionType ?? {
      $case: 'userAgentVersion',
      value: '0.1.0',
    },
  };
}

function takesFromAds(
  reader: MessageReader<NonNullable<BootstrapProto['dynamicResources']>> | undefined,
  key: 'ldsConfig' | 'cdsConfig',
  dynamic: boolean,
): boolean {
  const source = reader?.child(key);
  if (source === undefined) return false;
  const set = source.oneof('configSourceSpecifier');
  if (set?.$case !== 'ads') source.unsupportedCase(set, 'ads');
  else if (!dynamic) source.caseProblem(set, 'needs ads_config beside it');
  return true;
}

function keep<T>(compiled: Compiled<T>, problems: Problems): T | undefined {
  if (compiled.ok) return compiled.value;
  for (const { path, message } of compiled.problems) problems.add(path, message);
  return undefined;
}

function hasConfig<T>(resource: {
  config: T | undefined;
  resource: Any;
}): resource is StaticResource<T> {
  return resource.config !== undefined;
}

function checkUnique(
  key: string,
  resources: readonly StaticResource<{ readonly name: string }>[],
  problems: Problems,
): void {
  const seen = new Set<string>();
  resources.forEach(({ config: { name } }, index) => {
    if (seen.has(name)) {
      problems.add(['static_resources', key, index, 'name'], `"${name}" stands here twice`);
    }
    seen.add(name);
  });
}
