import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where the API server is and how this program shows who it is. */
export interface ClusterConfig {
  /** `https://10.96.0.1:443`, perhaps with a path; `http://` on loopback only. */
  readonly server: URL;
  /** PEM of the server's authorities; '' = those of the system. */
  readonly ca: Secret;
  /** PEM, or ''. */
  readonly clientCertificate: Secret;
  readonly clientKey: Secret;
  /** Bearer token, or ''. */
  readonly token: Secret;
  /** Name in the server's certificate where it is not the host of `server`; '' = the host. */
  readonly serverName: string;
  /** Said by the kubeconfig's author. */
  readonly insecureSkipTlsVerify: boolean;
  /** Of the context, or the pod's own. */
  readonly namespace: string;
  /** For messages: `context kind of /home/a/.kube/config`. */
  readonly origin: string;
}

/** A value, or the file that holds it and may be replaced at any time. */
export type Secret =
  | { readonly kind: 'value'; readonly value: string }
  | { readonly kind: 'file'; readonly file: string };

export const NO_SECRET: Secret = Object.freeze({ kind: 'value', value: '' });

export type ParsedClusterConfig =
  | { readonly ok: true; readonly config: ClusterConfig }
  | { readonly ok: false; readonly problem: string };

/** What the kubelet puts into each pod. */
const SERVICE_ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The cluster that this pod runs in. `host` and `port` are `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`; the token is
 * read again as the kubelet rotates it.
 */
export function inClusterConfig(
  host: string | undefined,
  port: string | undefined,
  directory: string = SERVICE_ACCOUNT_DIRECTORY,
): ParsedClusterConfig {
  if (host === undefined || host === '' || port === undefined || port === '') {
    return {
      ok: false,
      problem:
        'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod of a cluster; name the cluster with --kubeconfig FILE',
    };
  }
  const address = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  if (!URL.canParse(address)) {
    return {
      ok: false,
      problem: `KUBERNETES_SERVICE_HOST "${host}" and KUBERNETES_SERVICE_PORT "${port}" make no address`,
    };
  }
  const tokenFile = join(directory, 'token');
  try {
    readFileSync(tokenFile);
  } catch (error) {
    return {
      ok: false,
      problem: `the service account token ${tokenFile} cannot be read: ${(error as Error).message}; the pod needs automountServiceAccountToken`,
    };
  }
  let namespace = 'default';
  try {
    namespace = readFileSync(join(directory, 'namespace'), 'utf8').trim() || 'default';
  } catch {
    // The file is a convenience: `default` is what clients take without it.
  }
  return {
    ok: true,
    config: {
      server: new URL(address),
      ca: { kind: 'file', file: join(directory, 'ca.crt') },
      clientCertificate: NO_SECRET,
      clientKey: NO_SECRET,
      token: { kind: 'file', file: tokenFile },
      serverName: '',
      insecureSkipTlsVerify: false,
      namespace,
      origin: `the service account of this pod (${directory})`,
    },
  };
}
