import type { ApiClient } from '../api-client.ts';
import { listProxies } from '../proxy-list.ts';
import { type CheckCategory, failed, OK, okUnless } from './check.ts';
import { readCertificates, rootIsValid, rootLivesOn } from './root-certificate.ts';

export interface LocalCheckOptions {
  readonly api: ApiClient;
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  readonly dataPlane: boolean;
}

/** A control plane that is asked through its own API: on this machine, or in a compose project. */
export function localChecks(options: LocalCheckOptions): CheckCategory[] {
  const { api, version, nowMs } = options;
  const roots = async () => {
    const { items } = await api.request<{ items: { pem: string }[] }>('GET', '/weft/v1/ca/roots');
    return readCertificates(items.map(({ pem }) => pem).join('\n'));
  };
  return [
    {
      name: 'weft-control-plane',
      checks: [
        {
          description: 'control plane answers',
          hint: 'control-plane-answers',
          fatal: true,
          retry: true,
          run: async () => {
            await api.request('GET', '/version');
            return OK;
          },
        },
        {
          description: 'control plane knows the mesh',
          hint: 'control-plane-ready',
          retry: true,
          run: async () =>
            (await api.isReady()) ? OK : failed('it is starting, or waits for a registry'),
        },
        {
          description: 'control plane and command line are of one version',
          hint: 'versions-match',
          warning: true,
          run: async () => {
            const { gitVersion } = await api.request<{ gitVersion: string }>('GET', '/version');
            const server = gitVersion.replace(/^.*\+weft-/, '');
            return server === version
              ? OK
              : failed(`the control plane is of version ${server}, this is ${version}`);
          },
        },
      ],
    },
    {
      name: 'weft-identity',
      checks: [
        {
          description: 'mesh root is within its validity',
          hint: 'root-valid',
          run: async () => rootIsValid(await roots(), nowMs()),
        },
        {
          description: 'mesh root is valid for at least 60 days',
          hint: 'root-lives-on',
          warning: true,
          run: async () => rootLivesOn(await roots(), nowMs()),
        },
      ],
    },
    ...(options.dataPlane ? [dataPlane(api, version)] : []),
  ];
}

function dataPlane(api: ApiClient, version: string): CheckCategory {
  return {
    name: 'weft-data-plane',
    checks: [
      {
        description: 'every sidecar has what the control plane sent',
        hint: 'proxies-synced',
        retry: true,
        run: async () =>
          okUnless(
            (await listProxies(api)).flatMap(({ name, types }) =>
              types
                .filter(({ status }) => status === 'ERROR' || status === 'STALE')
                .map(({ type, status, error }) => `${name}: ${type} ${status} ${error}`.trimEnd()),
            ),
          ),
      },
      {
        description: 'every sidecar is of the version of this command line',
        hint: 'proxy-versions-match',
        warning: true,
        run: async () =>
          okUnless(
            (await listProxies(api))
              .filter((proxy) => proxy.version !== version)
              .map((proxy) => `${proxy.name} is of version ${proxy.version}`),
          ),
      },
    ],
  };
}
