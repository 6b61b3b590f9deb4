import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { isLoopback } from '../listen-address.ts';
import { NO_SECRET, type ParsedClusterConfig, type Secret } from './cluster-config.ts';
import { isRecord } from './kubernetes-object.ts';

/**
 * A kubeconfig file (`apiVersion: v1, kind: Config`): the cluster and user of `context`, or of `current-context` where it is
 * ''. Paths in it are relative to it. What would run a program (`exec`, `auth-provider`) is refused, as is what is not
 * supported, by name.
 */
export function readKubeconfig(file: string, context = ''): ParsedClusterConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return { ok: false, problem: `kubeconfig ${file} cannot be read: ${(error as Error).message}` };
  }
  return parseKubeconfig(text, file, context);
}

/** `file` is named in messages, and its directory is where relative paths begin. */
export function parseKubeconfig(text: string, file: string, context = ''): ParsedClusterConfig {
  try {
    return { ok: true, config: new Kubeconfig(text, file).select(context) };
  } catch (error) {
    if (!(error instanceof KubeconfigProblem)) throw error;
    return { ok: false, problem: `kubeconfig ${file}: ${error.message}` };
  }
}

class KubeconfigProblem extends Error {
  readonly code = 'WEFT_KUBECONFIG';
}

type Fields = Readonly<Record<string, unknown>>;
type Cluster = Extract<ParsedClusterConfig, { ok: true }>['config'];

class Kubeconfig {
  readonly #file: string;
  readonly #root: Fields;

  constructor(text: string, file: string) {
    this.#file = file;
    const document = parseDocument(text);
    const [error] = document.errors;
    if (error !== undefined) {
      const at = error.linePos?.[0];
      throw new KubeconfigProblem(
        `${at === undefined ? '' : `line ${at.line}, column ${at.col}: `}${error.message.split('\n')[0]}`,
      );
    }
    let root: unknown;
    try {
      root = document.toJS({ maxAliasCount: 0 });
    } catch (cause) {
      throw new KubeconfigProblem((cause as Error).message);
    }
    if (!isRecord(root)) throw new KubeconfigProblem('it is not an object with clusters and users');
    this.#root = root;
  }

  select(wanted: string): Cluster {
    const contextName = wanted === '' ? text(this.#root, 'current-context') : wanted;
    if (contextName === '') {
      throw new KubeconfigProblem(
        `no current-context is set; choose one of ${this.#names('contexts')} with --kubernetes-context`,
      );
    }
    const context = this.#entry('contexts', 'context', contextName);
    const cluster = this.#entry('clusters', 'cluster', text(context, 'cluster'));
    const userName = text(context, 'user');
    const user = userName === '' ? {} : this.#entry('users', 'user', userName);
    refuseUnsupported(user, `user "${userName}"`, USER_REFUSED);
    refuseUnsupported(cluster, `cluster "${text(context, 'cluster')}"`, CLUSTER_REFUSED);
    const clientCertificate = this.#secret(user, 'client-certificate');
    const clientKey = this.#secret(user, 'client-key');
    if ((clientCertificate === NO_SECRET) !== (clientKey === NO_SECRET)) {
      throw new KubeconfigProblem(
        `user "${userName}": client-certificate and client-key go together`,
      );
    }
    const token = text(user, 'token');
    const tokenFile = text(user, 'tokenFile');
    return {
      server: this.#server(cluster),
      ca: this.#secret(cluster, 'certificate-authority'),
      clientCertificate,
      clientKey,
      // kubectl's order: the file wins, because it is the one that is renewed.
      token:
        tokenFile !== ''
          ? { kind: 'file', file: this.#path(tokenFile) }
          : token === ''
            ? NO_SECRET
            : { kind: 'value', value: token },
      serverName: text(cluster, 'tls-server-name'),
      insecureSkipTlsVerify: cluster['insecure-skip-tls-verify'] === true,
      namespace: text(context, 'namespace') || 'default',
      origin: `context ${contextName} of ${this.#file}`,
    };
  }

  #server(cluster: Fields): URL {
    const address = text(cluster, 'server');
    const url = URL.canParse(address) ? new URL(address) : undefined;
    if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
      throw new KubeconfigProblem(
        `server "${address}" is not an address such as https://10.0.0.1:6443`,
      );
    }
    if (url.username !== '' || url.password !== '') {
      throw new KubeconfigProblem('server: user and password in the address are not supported');
    }
    if (url.protocol === 'http:' && !isLoopback(url.hostname.replace(/^\[|\]$/g, ''))) {
      throw new KubeconfigProblem(
        `server "${address}" is plain text to another host: everybody on the way could change the mesh; use https://`,
      );
    }
    return url;
  }

  #secret(fields: Fields, name: string): Secret {
    const data = text(fields, `${name}-data`);
    if (data !== '') {
      const value = Buffer.from(data, 'base64').toString('utf8');
      if (!value.includes('-----BEGIN ')) {
        throw new KubeconfigProblem(`${name}-data is not base64 of a PEM text`);
      }
      return { kind: 'value', value };
    }
    const file = text(fields, name);
    return file === '' ? NO_SECRET : { kind: 'file', file: this.#path(file) };
  }

  #path(path: string): string {
    return resolve(dirname(this.#file), path);
  }

  #entry(list: string, field: string, name: string): Fields {
    const entries = this.#root[list];
    const found = Array.isArray(entries)
      ? entries.find((each: unknown) => isRecord(each) && each['name'] === name)
      : undefined;
    const value: unknown = isRecord(found) ? found[field] : undefined;
    if (!isRecord(value)) {
      throw new KubeconfigProblem(`there is no ${field} "${name}"; there are ${this.#names(list)}`);
    }
    return value;
  }

  #names(list: string): string {
    const entries = this.#root[list];
    const names = Array.isArray(entries)
      ? entries.map((each: unknown) => (isRecord(each) ? String(each['name']) : ''))
      : [];
    return names.length === 0 ? 'none' : names.map((name) => `"${name}"`).join(', ');
  }
}

const USER_REFUSED: Readonly<Record<string, string>> = {
  exec: 'programs are not run for credentials; use a token, a tokenFile or a client certificate',
  'auth-provider':
    'auth-provider is not supported; use a token, a tokenFile or a client certificate',
  username: 'user names with passwords are not supported; use a token or a client certificate',
  as: 'impersonation is not supported',
};

const CLUSTER_REFUSED: Readonly<Record<string, string>> = {
  'proxy-url': 'proxy-url is not supported',
};

function refuseUnsupported(
  fields: Fields,
  where: string,
  refused: Readonly<Record<string, string>>,
): void {
  for (const [name, reason] of Object.entries(refused)) {
    if (fields[name] !== undefined && fields[name] !== null && fields[name] !== '') {
      throw new KubeconfigProblem(`${where} has ${name}: ${reason}`);
    }
  }
}

function text(fields: Fields, name: string): string {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw new KubeconfigProblem(`${name} is not a text`);
  return value;
}
