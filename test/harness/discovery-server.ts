import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * An API server that knows the kinds of an app's manifests and holds no object: enough for `kubectl apply
 * --dry-run=client`, which asks for the kinds and whether the objects are there.
 */
export class DiscoveryServer {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<DiscoveryServer> {
    const server = createServer((request, response) => {
      const { pathname } = new URL(request.url ?? '/', 'http://localhost');
      const found = request.method === 'GET' ? DOCUMENTS.get(pathname) : undefined;
      const answer = found ?? notFound(pathname);
      response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new DiscoveryServer(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

const KINDS: Readonly<Record<string, readonly string[]>> = {
  v1: ['Pod', 'Service', 'ServiceAccount', 'ConfigMap', 'Secret', 'PersistentVolumeClaim'],
  'apps/v1': ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet'],
  'batch/v1': ['Job', 'CronJob'],
};

const groups = Object.keys(KINDS)
  .filter((groupVersion) => groupVersion.includes('/'))
  .map((groupVersion) => {
    const [name, version] = groupVersion.split('/');
    const served = { groupVersion, version };
    return { name, versions: [served], preferredVersion: served };
  });

const DOCUMENTS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['/version', { major: '1', minor: '33', gitVersion: 'v1.33.0' }],
  ['/api', { kind: 'APIVersions', versions: ['v1'] }],
  ['/apis', { kind: 'APIGroupList', apiVersion: 'v1', groups }],
  ...Object.entries(KINDS).map(([groupVersion, kinds]): [string, unknown] => [
    groupVersion === 'v1' ? '/api/v1' : `/apis/${groupVersion}`,
    {
      kind: 'APIResourceList',
      apiVersion: 'v1',
      groupVersion,
      resources: kinds.map((kind) => ({
        name: `${kind.toLowerCase()}s`,
        singularName: kind.toLowerCase(),
        namespaced: true,
        kind,
        verbs: ['create', 'get', 'list', 'patch'],
      })),
    },
  ]),
]);

function notFound(path: string): object {
  const message = `${path} not found`;
  return {
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    reason: 'NotFound',
    code: 404,
    message,
  };
}
