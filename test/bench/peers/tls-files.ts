import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeAuthority } from '../../certificates.ts';

/** One workload's certificate as every program wants it: separate PEM files, and one that holds both for HAProxy. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  readonly both: string;
  readonly ca: string;
}

/** P-256 throughout, as the mesh's own certificates. Two workloads of one authority, in files of `directory`. */
export async function pairOfTlsFiles(
  directory: string,
): Promise<{ readonly client: TlsFiles; readonly server: TlsFiles }> {
  const authority = await makeAuthority('weft bench root');
  const ca = join(directory, 'ca.pem');
  writeFileSync(ca, authority.certificatePem);
  const files = async (name: string): Promise<TlsFiles> => {
    const issued = await authority.issue({
      uri: [`spiffe://cluster.local/ns/default/sa/${name}`],
      dns: [`${name}.default.svc.cluster.local`],
    });
    const [certificate, key, both] = ['crt', 'key', 'both'].map((kind) =>
      join(directory, `${name}.${kind}.pem`),
    );
    writeFileSync(certificate!, issued.certificateChainPem);
    writeFileSync(key!, issued.privateKeyPem, { mode: 0o600 });
    writeFileSync(both!, `${issued.certificateChainPem}\n${issued.privateKeyPem}`, { mode: 0o600 });
    return { certificate: certificate!, key: key!, both: both!, ca };
  };
  return { client: await files('client'), server: await files('server') };
}
