import { beforeAll, describe, expect, test } from 'vitest';
import {
  type IssuedCertificate,
  makeAuthority,
  type TestAuthority,
} from '../../test/certificates.ts';
import { InMemorySecretStore } from './secret-store.ts';
import type { TlsConfig } from './tls-config.ts';
import { TlsContexts } from './tls-context.ts';

let authority: TestAuthority;
let one: IssuedCertificate;
let two: IssuedCertificate;
beforeAll(async () => {
  authority = await makeAuthority();
  one = await authority.issue({ uri: ['spiffe://cluster.local/ns/a/sa/one'] });
  two = await authority.issue({ uri: ['spiffe://cluster.local/ns/a/sa/two'] });
});

const CONFIG: TlsConfig = {
  certificateSecret: 'default',
  validationSecret: 'ROOTCA',
  subjectAltNames: [],
  alpnProtocols: [],
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: '',
};

describe('InMemorySecretStore', () => {
  test('a certificate that does not match its key is refused, and the last good one stays', () => {
    const store = new InMemorySecretStore();
    expect(store.setCertificate('default', one)).toBe('');
    const wrong = { ...two, privateKeyPem: one.privateKeyPem };
    expect(store.setCertificate('default', wrong)).toBe(
      "secret 'default': the private key does not match the certificate",
    );
    expect(store.certificate('default')?.principal).toBe(one.principal);
  });

  test.each([
    [
      'no certificate',
      { certificateChainPem: 'x' },
      'the certificate chain holds no PEM certificate',
    ],
    [
      'a broken certificate',
      {
        certificateChainPem: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
      },
      'a certificate of the chain cannot be read',
    ],
    ['a broken key', { privateKeyPem: 'secret words' }, 'the private key cannot be read'],
  ])('%s is refused with the reason, and without the key in it', (_name, change, problem) => {
    const store = new InMemorySecretStore();
    expect(store.setCertificate('x', { ...one, ...change })).toBe(`secret 'x': ${problem}`);
    expect(store.certificate('x')).toBeUndefined();
  });

  test('changes are announced until the listener is taken off', () => {
    const store = new InMemorySecretStore();
    const heard: string[] = [];
    const stop = store.onChange((name) => heard.push(name));
    store.setCertificate('default', one);
    store.setValidation('ROOTCA', { trustedCaPem: authority.certificatePem });
    store.setCertificate('default', { ...one, certificateChainPem: '' });
    store.remove('default');
    store.remove('default');
    stop();
    store.setCertificate('default', two);
    expect(heard).toEqual(['default', 'ROOTCA', 'default']);
  });
});

describe('TlsContexts', () => {
  test('missing secrets are a problem with a name, not an exception', () => {
    const store = new InMemorySecretStore();
    const contexts = new TlsContexts(store);
    expect(contexts.upstream(CONFIG)).toEqual({
      kind: 'problem',
      detail: "certificate 'default' has not arrived yet",
    });
    store.setCertificate('default', one);
    expect(contexts.upstream(CONFIG)).toEqual({
      kind: 'problem',
      detail: "trusted roots 'ROOTCA' have not arrived yet",
    });
    store.setValidation('ROOTCA', { trustedCaPem: authority.certificatePem });
    expect(contexts.upstream(CONFIG).kind).toBe('context');
  });

  test('[SC-05] equal configurations share a context, and it follows the secret', () => {
    const store = new InMemorySecretStore();
    store.setCertificate('default', one);
    store.setValidation('ROOTCA', { trustedCaPem: authority.certificatePem });
    const contexts = new TlsContexts(store);
    const principal = (config: TlsConfig) => {
      const result = contexts.downstream(config);
      return result.kind === 'context' ? result.context : result.detail;
    };
    const first = principal(CONFIG);
    expect(principal({ ...CONFIG, alpnProtocols: ['istio'] })).toBe(first);
    expect(principal({ ...CONFIG, minVersion: 'TLSv1.3' })).not.toBe(first);
    store.setCertificate('default', two);
    expect(principal(CONFIG)).toMatchObject({ localPrincipal: two.principal });
    expect(principal(CONFIG)).toBe(principal(CONFIG));
  });

  test('a cipher list that matches nothing is a problem', () => {
    const store = new InMemorySecretStore();
    store.setCertificate('default', one);
    const result = new TlsContexts(store).downstream({
      ...CONFIG,
      validationSecret: '',
      ciphers: 'NO-SUCH-CIPHER',
    });
    expect(result.kind).toBe('problem');
  });
});
