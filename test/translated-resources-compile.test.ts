import { expect, test } from 'vitest';
import { testMesh } from '../control-plane/mesh/mesh.testing.ts';
import { testProxy } from '../control-plane/translate/proxy.testing.ts';
import { translate } from '../control-plane/translate/resource-set.ts';
import { Cluster } from '../proto/gen/envoy/config/cluster/v3/cluster.ts';
import { ClusterLoadAssignment } from '../proto/gen/envoy/config/endpoint/v3/endpoint.ts';
import { Listener } from '../proto/gen/envoy/config/listener/v3/listener.ts';
import { RouteConfiguration } from '../proto/gen/envoy/config/route/v3/route.ts';
import { TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_LISTENER, TYPE_ROUTE } from '../proto/type-urls.ts';
import type { AccessLogSink } from '../proxy/observe/access-log.ts';
import { compileCluster } from '../proxy/xds/compile/cluster.ts';
import type { CompileContext } from '../proxy/xds/compile/compile-context.ts';
import { compileListener } from '../proxy/xds/compile/listener.ts';
import { compileLoadAssignment } from '../proxy/xds/compile/load-assignment.ts';
import { compileRouteConfiguration } from '../proxy/xds/compile/route-configuration.ts';

/** The control plane must say nothing that the sidecar does not implement: that would be a NACK in every mesh. */

const EVERYTHING = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - name: canary
    match:
    - uri: {prefix: /reviews}
      ignoreUriCase: true
      headers: {end-user: {exact: jason}, x-any: {}}
      withoutHeaders: {x-block: {prefix: a}}
      queryParams: {v: {regex: "[0-9]+"}}
      method: {exact: GET}
      authority: {prefix: reviews}
      scheme: {exact: http}
    rewrite: {uri: /r, authority: reviews.internal}
    timeout: 3s
    retries: {attempts: 3, perTryTimeout: 1s, backoff: 50ms, retryOn: "5xx,connect-failure,503,retriable-headers"}
    headers:
      request: {set: {a: b}, add: {c: d}, remove: [e]}
      response: {set: {f: "%REQ(x)%"}}
    route:
    - {destination: {host: reviews, subset: v1}, weight: 9, headers: {request: {set: {w: x, Host: first.example}}, response: {remove: [g]}}}
    - {destination: {host: reviews, subset: v2}, weight: 1}
  - match: [{uri: {regex: "/old/(.*)"}}]
    rewrite: {uriRegexRewrite: {match: "/old/(.*)", rewrite: "/new/\\\\1"}}
    route: [{destination: {host: reviews}}]
  - match: [{uri: {exact: /gone}}]
    redirect: {uri: /here, authority: example.com, scheme: https, redirectCode: 308}
  - match: [{uri: {exact: /port}, headers: {":method": {exact: GET}}}]
    redirect: {derivePort: FROM_REQUEST_PORT, redirectCode: 307}
  - match: [{uri: {exact: /hello}}]
    directResponse: {status: 200, body: {string: hello}}
  - match: [{uri: {exact: /slow}}]
    fault: {delay: {fixedDelay: 7s, percentage: {value: 0.1}}, abort: {httpStatus: 555, percentage: {value: 100}}}
    route: [{destination: {host: reviews}}]
  - match: [{uri: {exact: /grpc}}]
    fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 50}}}
    route: [{destination: {host: reviews}, headers: {request: {set: {":authority": only.example}}}}]
  - retries: {attempts: 0}
    route: [{destination: {host: reviews}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    connectionPool: {tcp: {connectTimeout: 2s}}
    tls: {mode: ISTIO_MUTUAL}
  subsets:
  - {name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}
  - {name: v2, labels: {version: v2}, trafficPolicy: {tls: {mode: DISABLE}}}
  - {name: v3, labels: {version: v3}, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: database}
spec:
  hosts: [db.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 3306, name: mysql, protocol: TCP}]
  endpoints: [{address: 10.0.0.1, weight: 3, locality: r/z/s}, {address: 10.0.0.2}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: anywhere}
spec:
  hosts: ["*.wild.example.com"]
  resolution: NONE
  ports: [{number: 80, name: http, protocol: HTTP}]
`;

const context: CompileContext = {
  root: [],
  readFile: () => Buffer.alloc(0),
  environment: () => undefined,
  accessLog: () => ({ write: () => {} }) as unknown as AccessLogSink,
  inlineSecret: () => 'inline',
};

const PORTS = (['http', 'tcp', 'tls', 'detect'] as const).map((protocol, index) => ({
  number: 9080 + index,
  name: protocol,
  protocol,
  listen: { host: '127.0.0.1', port: 31_000 + index },
  app: { host: '127.0.0.1', port: 32_000 + index },
}));

test.each(
  (['explicit', 'redirect'] as const).flatMap((proxyMode) =>
    (['PERMISSIVE', 'STRICT', 'DISABLE'] as const).map((mode) => [proxyMode, mode] as const),
  ),
)('the sidecar takes all it is sent, %s %s', (proxyMode, mode) => {
  for (const [outboundTrafficPolicy, accessLogEncoding] of [
    ['ALLOW_ANY', 'TEXT'],
    ['REGISTRY_ONLY', 'JSON'],
  ] as const) {
    const snapshot = testMesh(
      `${EVERYTHING}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: ${mode}}}
`,
      undefined,
      { outboundTrafficPolicy, accessLogFile: '/dev/stdout', accessLogEncoding },
    );
    const set = translate(snapshot, testProxy({ ports: PORTS, mode: proxyMode }));
    const problems: unknown[] = [];
    const check = (name: string, result: { readonly ok: boolean }) => {
      if (!result.ok) problems.push({ name, result });
    };
    // Decoded from the wire form, as the sidecar sees it.
    for (const { name, any } of set.resources(TYPE_CLUSTER).values()) {
      check(name, compileCluster(Cluster.decode(any.value), '', context));
    }
    for (const { name, any } of set.resources(TYPE_ENDPOINT).values()) {
      check(name, compileLoadAssignment(ClusterLoadAssignment.decode(any.value), '', context));
    }
    for (const { name, any } of set.resources(TYPE_LISTENER).values()) {
      check(name, compileListener(Listener.decode(any.value), '', context));
    }
    for (const { name, any } of set.resources(TYPE_ROUTE).values()) {
      check(name, compileRouteConfiguration(RouteConfiguration.decode(any.value), '', context));
    }
    expect(problems).toEqual([]);
    expect(set.resources(TYPE_CLUSTER).size).toBeGreaterThan(12);
    expect(set.resources(TYPE_LISTENER).size).toBeGreaterThan(4);
  }
});
