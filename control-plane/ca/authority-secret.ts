import { randomBytes } from 'node:crypto';
import { Informer, type InformerOptions } from '../kubernetes/informer.ts';
import type { KubernetesClient } from '../kubernetes/kubernetes-client.ts';
import { isRecord, type KubernetesObject } from '../kubernetes/kubernetes-object.ts';
import { SECRETS } from '../kubernetes/resource-type.ts';
import { AuthorityError, createRoot } from './authority.ts';
import { REQUIRED, ROOT_TTL_MS } from './authority-files.ts';
import type { AuthorityContent } from './authority-source.ts';

export interface AuthoritySecretOptions {
  readonly client: KubernetesClient;
  readonly namespace: string;
  /** Default `weft-ca`. */
  readonly name: string;
  readonly trustDomain: string;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
}

export type SecretRead =
  | { readonly kind: 'read'; readonly content: AuthorityContent; readonly version: string }
  /** It holds no whole authority. */
  | { readonly kind: 'unusable'; readonly error: AuthorityError; readonly version: string }
  /** The API server did not answer as it should; to be tried again. */
  | { readonly kind: 'away'; readonly message: string };

/**
 * The authority in a Secret, under the names of Istio's `cacerts` (SC-07), so that all replicas sign with one key. The
 * first replica makes it: of two that try, the API server takes one, and the other reads what that one made. A
 * plugged-in CA is a Secret that is there before; the key of join tokens is added to it. Anything half there is
 * unusable, never a new trust root in silence (F11).
 */
export async function openAuthoritySecret(options: AuthoritySecretOptions): Promise<SecretRead> {
  const { client, namespace, name } = options;
  for (let attempt = 1; ; attempt++) {
    const read = await client.get(SECRETS, namespace, name);
    if (!read.ok && read.failure.code !== 404) return away(read.failure.message);
    if (!read.ok) {
      const made = await client.create(SECRETS, await newSecret(options));
      if (made.ok) return secretRead(made.value, options);
      const isTaken = made.failure.reason === 'AlreadyExists';
      if (isTaken && attempt < ATTEMPTS_MAX) continue;
      return away(made.failure.message);
    }
    if (fieldOf(read.value, TOKEN_KEY) !== '') {
      return secretRead(read.value, options);
    }
    // What is not usable is not added to.
    const without = secretRead(read.value, options, randomBytes(32));
    if (without.kind === 'unusable') return without;
    const data = { ...(read.value['data'] as object), [TOKEN_KEY]: newTokenKey() };
    const completed = await client.replace(SECRETS, { ...read.value, data });
    if (completed.ok) return secretRead(completed.value, options);
    if (completed.failure.code === 409 && attempt < ATTEMPTS_MAX) continue;
    return away(completed.failure.message);
  }
}

/** Calls back with the version of the Secret, once it is seen and whenever it changes; null = it was deleted. */
export function followAuthoritySecret(
  { client, namespace, name }: AuthoritySecretOptions,
  options: Pick<InformerOptions<string>, 'clock' | 'random' | 'log'>,
  onVersion: (version: string | null) => void,
): () => void {
  const informer = new Informer({
    ...options,
    client,
    type: SECRETS,
    namespace,
    // By its name alone: a role may then be limited to this one Secret.
    fieldSelector: `metadata.name=${name}`,
    project: ({ metadata }) => metadata.resourceVersion ?? '',
  });
  informer.onChange((changes) => {
    for (const { after } of changes) onVersion(after ?? null);
  });
  // Deleted between the read at the start and the first list.
  void informer.whenSynced().then(() => {
    if (informer.read().size === 0) onVersion(null);
  });
  informer.start();
  return () => informer.close();
}

const TOKEN_KEY = 'join-token-key';
const CHAIN = 'cert-chain.pem';
const ATTEMPTS_MAX = 5;
/** Bytes of one file in it; Kubernetes' own bound for the whole is 1 MiB. */
const FIELD_BYTES_MAX = 256 * 1024;

async function newSecret(options: AuthoritySecretOptions): Promise<KubernetesObject> {
  const { namespace, name, trustDomain, wallMs } = options;
  const material = await createRoot(trustDomain, wallMs(), ROOT_TTL_MS);
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace, labels: { 'weft.dev/config': 'true' } },
    type: 'Opaque',
    data: {
      'root-cert.pem': base64(material.rootsPem),
      'ca-cert.pem': base64(material.certificatePem),
      'ca-key.pem': base64(material.privateKeyPem),
      [TOKEN_KEY]: newTokenKey(),
    },
  };
}

/** As the file of the same name: base64 of 32 bytes; the Secret's own encoding comes on top. */
function newTokenKey(): string {
  return Buffer.from(`${randomBytes(32).toString('base64')}\n`).toString('base64');
}

function secretRead(
  secret: KubernetesObject,
  options: AuthoritySecretOptions,
  newKey?: Buffer,
): SecretRead {
  const version = secret.metadata.resourceVersion ?? '';
  try {
    return { kind: 'read', content: contentOf(secret, options, newKey), version };
  } catch (error) {
    if (error instanceof AuthorityError) return { kind: 'unusable', error, version };
    throw error;
  }
}

function contentOf(
  secret: KubernetesObject,
  { namespace, name }: AuthoritySecretOptions,
  newKey?: Buffer,
): AuthorityContent {
  const missing = REQUIRED.filter((field) => fieldOf(secret, field) === '');
  if (missing.length > 0) {
    throw new AuthorityError(
      `Secret ${namespace}/${name} has no ${missing.join(' and no ')}: restore what is missing, or delete the Secret ` +
        'to start with a new root (every workload must then start again)',
    );
  }
  const tokenKey = newKey ?? Buffer.from(fieldOf(secret, TOKEN_KEY).trim(), 'base64');
  if (tokenKey.length < 32) {
    throw new AuthorityError(
      `Secret ${namespace}/${name}: ${TOKEN_KEY} is no key of 32 bytes in base64; remove it to get a new one`,
    );
  }
  return {
    material: {
      certificatePem: fieldOf(secret, 'ca-cert.pem'),
      privateKeyPem: fieldOf(secret, 'ca-key.pem'),
      intermediatesPem: fieldOf(secret, CHAIN),
      rootsPem: fieldOf(secret, 'root-cert.pem'),
    },
    tokenKey,
  };
}

/** '' where it is not there or no text. */
function fieldOf({ data }: KubernetesObject, name: string): string {
  const value = isRecord(data) ? data[name] : undefined;
  if (typeof value !== 'string' || value.length > (FIELD_BYTES_MAX * 4) / 3) return '';
  return Buffer.from(value, 'base64').toString('utf8');
}

function away(message: string): SecretRead {
  return { kind: 'away', message };
}
