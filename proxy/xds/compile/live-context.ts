import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createAccessLog } from '../../observe/access-log.ts';
import type { AccessLogFiles } from '../../observe/access-log-file.ts';
import { readCertificateNames } from '../../tls/certificate-names.ts';
import { type InMemorySecretStore, pemBlocks } from '../../tls/secret-store.ts';
import type { ContextAt } from '../bootstrap/bootstrap.ts';
import { INLINE_PREFIX } from '../referenced-names.ts';
import type { InlineSecret } from './secret.ts';

export interface LiveContextOptions {
  readonly secrets: InMemorySecretStore;
  readonly accessLogs: AccessLogFiles;
  readonly environment: (name: string) => string | undefined;
}

/** Compiles for use: access logs are opened and inline key material goes to the secret store. */
export function liveContext({ secrets, accessLogs, environment }: LiveContextOptions): ContextAt {
  return (root) => ({
    root,
    readFile: (path) => readFileSync(path),
    environment,
    accessLog: ({ path, format, filter }) => {
      const file = accessLogs.open(path);
      return 'problem' in file ? file : createAccessLog(format, file, filter);
    },
    inlineSecret: (secret) => {
      const name = `${INLINE_PREFIX}${digest(secret)}`; // equal material, one secret
      storeSecret(secrets, name, secret);
      return name;
    },
  });
}

/** Puts compiled key material under a name; '' or the reason why not. */
export function storeSecret(
  store: InMemorySecretStore,
  name: string,
  secret: InlineSecret,
): string {
  if (secret.kind === 'validation') {
    return store.setValidation(name, { trustedCaPem: secret.trustedCaPem });
  }
  const { certificateChainPem, privateKeyPem } = secret;
  const leaf = pemBlocks(certificateChainPem)[0];
  const names = leaf === undefined ? [] : readCertificateNames(new X509Certificate(leaf).raw).uris;
  const principal = names[0] ?? '';
  return store.setCertificate(name, { certificateChainPem, privateKeyPem, principal });
}

function digest(secret: InlineSecret): string {
  const hash = createHash('sha256');
  if (secret.kind === 'validation') hash.update(secret.trustedCaPem);
  else hash.update(secret.certificateChainPem).update(secret.privateKeyPem);
  return hash.digest('hex').slice(0, 32);
}
