import type { MessageName } from '../../proto/any.ts';
import { packAny, unpackAs } from '../../proto/any.ts';
import type { UpdateFailureState } from '../../proto/gen/envoy/admin/v3/config_dump_shared.ts';
import type { Any } from '../../proto/gen/google/protobuf/any.ts';
import type { Timestamp } from '../../proto/gen/google/protobuf/timestamp.ts';
import type { MessageTypes } from '../../proto/gen/registry.ts';
import { writeJson } from '../../proto/json.ts';
import { createMessage } from '../../proto/message-codec.ts';
import {
  TYPE_CLUSTER,
  TYPE_ENDPOINT,
  TYPE_LISTENER,
  TYPE_NAME_TABLE,
  TYPE_ROUTE,
  TYPE_SECRET,
  TYPE_URL_PREFIX,
} from '../../proto/type-urls.ts';
import type { Bootstrap } from './bootstrap/bootstrap.ts';
import type { DynamicResources, ResourceEntry } from './dynamic-resources.ts';

/** `ClientResourceStatus`. */
const ACKED = 3;
const NACKED = 4;

export interface DumpSource {
  readonly bootstrap: Bootstrap;
  readonly startedMs: number;
  /** Null with a static bootstrap. */
  readonly resources: DynamicResources | null;
  /** Certificates by secret name; keys are never given here. */
  readonly secrets: Iterable<{
    readonly name: string;
    readonly certificateChainPem: string;
    readonly trustedCaPem: string;
  }>;
}

type Json = { readonly [key: string]: unknown };

/** What `/config_dump` shows, in Envoy's shape: the messages of `ConfigDump.configs`, each with its `@type`. */
export function* configDump(source: DumpSource, includeEndpoints: boolean): Generator<Json> {
  const { bootstrap, startedMs } = source;
  const lastUpdated = timestamp(startedMs);
  yield section('envoy.admin.v3.BootstrapConfigDump', {
    bootstrap: bootstrap.message,
    lastUpdated,
  });
  yield clusters(source, lastUpdated);
  if (includeEndpoints) yield endpoints(source);
  yield listeners(source, lastUpdated);
  yield routes(source);
  yield secrets(source, lastUpdated);
  yield* names(source);
}

function section<N extends MessageName>(name: N, message: MessageTypes[N]): Json {
  const body = writeJson(name, message) as Json;
  return { '@type': `${TYPE_URL_PREFIX}${name}`, ...body };
}

/** Envoy knows no such thing: the message itself, as Istio's agent shows it. */
function* names(source: DumpSource): Generator<Json> {
  for (const { resource } of entriesOf(source, TYPE_NAME_TABLE)) {
    if (resource === undefined) continue;
    const table = unpackAs('istio.networking.nds.v1.NameTable', resource);
    if (table.ok) yield section('istio.networking.nds.v1.NameTable', table.message);
  }
}

function* entriesOf({ resources }: DumpSource, typeUrl: string): Generator<ResourceEntry> {
  if (resources !== null) yield* resources.entries(typeUrl).values();
}

function clusters(source: DumpSource, lastUpdated: Timestamp): Json {
  return section('envoy.admin.v3.ClustersConfigDump', {
    versionInfo: '',
    staticClusters: source.bootstrap.clusters.map(({ resource }) => ({
      cluster: resource,
      lastUpdated,
    })),
    dynamicActiveClusters: [...entriesOf(source, TYPE_CLUSTER)].map((entry) => ({
      ...state(entry),
      cluster: entry.resource,
    })),
    dynamicWarmingClusters: [],
  });
}

function endpoints(source: DumpSource): Json {
  return section('envoy.admin.v3.EndpointsConfigDump', {
    staticEndpointConfigs: [],
    dynamicEndpointConfigs: [...entriesOf(source, TYPE_ENDPOINT)].map((entry) => ({
      ...state(entry),
      endpointConfig: entry.resource,
    })),
  });
}

function listeners(source: DumpSource, lastUpdated: Timestamp): Json {
  const warming = source.resources?.warmingListeners;
  return section('envoy.admin.v3.ListenersConfigDump', {
    versionInfo: '',
    staticListeners: source.bootstrap.listeners.map(({ resource }) => ({
      listener: resource,
      lastUpdated,
    })),
    dynamicListeners: [...entriesOf(source, TYPE_LISTENER)].map((entry) => {
      const { versionInfo, errorState, clientStatus, lastUpdated: updated } = state(entry);
      const inUse =
        entry.resource === undefined
          ? undefined
          : { versionInfo, listener: entry.resource, lastUpdated: updated };
      const waits = warming?.has(entry.name) === true;
      return {
        name: entry.name,
        activeState: waits ? undefined : inUse,
        warmingState: waits ? inUse : undefined,
        drainingState: undefined,
        errorState,
        clientStatus,
      };
    }),
  });
}

/** Inline routes are shown with their listener. */
function routes(source: DumpSource): Json {
  return section('envoy.admin.v3.RoutesConfigDump', {
    staticRouteConfigs: [],
    dynamicRouteConfigs: [...entriesOf(source, TYPE_ROUTE)].map((entry) => ({
      ...state(entry),
      routeConfig: entry.resource,
    })),
  });
}

const REDACTED = '[redacted]';

function secrets({ secrets: held }: DumpSource, lastUpdated: Timestamp): Json {
  return section('envoy.admin.v3.SecretsConfigDump', {
    staticSecrets: [],
    dynamicWarmingSecrets: [],
    dynamicActiveSecrets: [...held].map(({ name, certificateChainPem, trustedCaPem }) => ({
      name,
      versionInfo: '',
      lastUpdated,
      secret: secretResource(name, certificateChainPem, trustedCaPem),
      errorState: undefined,
      clientStatus: ACKED,
    })),
  });
}

function secretResource(name: string, chainPem: string, rootsPem: string): Any {
  const inline = (text: string) => ({
    specifier: { $case: 'inlineBytes' as const, value: Buffer.from(text) },
    watchedDirectory: undefined,
  });
  const redacted = {
    specifier: { $case: 'inlineString' as const, value: REDACTED },
    watchedDirectory: undefined,
  };
  const secret = createMessage('envoy.extensions.transport_sockets.tls.v3.Secret', {
    name,
    type:
      chainPem === ''
        ? {
            $case: 'validationContext',
            value: createMessage(
              'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext',
              {
                trustedCa: inline(rootsPem),
              },
            ),
          }
        : {
            $case: 'tlsCertificate',
            value: createMessage('envoy.extensions.transport_sockets.tls.v3.TlsCertificate', {
              certificateChain: inline(chainPem),
              privateKey: redacted,
            }),
          },
  });
  return packAny(TYPE_SECRET, secret);
}

interface EntryState {
  readonly name: string;
  readonly versionInfo: string;
  readonly lastUpdated: Timestamp | undefined;
  readonly errorState: UpdateFailureState | undefined;
  readonly clientStatus: typeof ACKED | typeof NACKED;
}

function state({ name, version, lastUpdatedMs, error }: ResourceEntry): EntryState {
  return {
    name,
    versionInfo: version,
    lastUpdated: lastUpdatedMs === 0 ? undefined : timestamp(lastUpdatedMs),
    errorState:
      error === null
        ? undefined
        : {
            failedConfiguration: undefined,
            lastUpdateAttempt: timestamp(error.atMs),
            details: error.details,
            versionInfo: error.version,
          },
    clientStatus: error === null ? ACKED : NACKED,
  };
}

function timestamp(ms: number): Timestamp {
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 };
}
