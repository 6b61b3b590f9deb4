import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { makeAuthority, type TestAuthority } from '../../test/certificates.ts';
import { readCertificateNames } from './certificate-names.ts';
import { readPeerCertificate, subjectAltNameProblem } from './peer-certificate.ts';
import type { SanMatcher } from './tls-config.ts';

const ID = 'spiffe://cluster.local/ns/default/sa/reviews';
let authority: TestAuthority;
beforeAll(async () => {
  authority = await makeAuthority();
});

const exactly = (type: SanMatcher['type'], text: string): SanMatcher => ({
  type,
  text,
  matches: (san) => san === text,
});

describe('readCertificateNames', () => {
  test('[SC-03] URI, DNS and IP names come out of the DER apart', async () => {
    const { der } = await authority.issue({
      uri: [ID],
      dns: ['a.example', 'b.example'],
      ip: ['10.0.0.1'],
    });
    expect(readCertificateNames(der)).toEqual({
      uris: [ID],
      dnsNames: ['a.example', 'b.example'],
      ips: ['10.0.0.1'],
      problem: '',
    });
  });

  test('a DNS name that imitates a URI name makes the certificate unusable (CVE-2021-44532)', async () => {
    const { der } = await authority.issue({ dns: [`x, URI:${ID}`] });
    expect(readCertificateNames(der)).toMatchObject({
      uris: [],
      problem: 'a subject alternative name holds the byte 0x20',
    });
  });

  test('a NUL byte in a name makes the certificate unusable', async () => {
    const { der } = await authority.issue({ uri: [ID] });
    const at = der.indexOf('reviews');
    der[at] = 0;
    expect(readCertificateNames(der).problem).toContain('0x00');
  });

  test('a certificate without names has none', async () => {
    const { der } = await authority.issue({ commonName: 'plain' });
    expect(readCertificateNames(der)).toEqual({ uris: [], dnsNames: [], ips: [], problem: '' });
  });

  test('fuzz: cut or changed DER never throws', async () => {
    const { der } = await authority.issue({ uri: [ID], dns: ['a.example'] });
    fc.assert(
      fc.property(
        fc.nat(der.length),
        fc.array(fc.tuple(fc.nat(der.length - 1), fc.nat(255)), { maxLength: 8 }),
        (length, changes) => {
          const bytes = Buffer.from(der);
          for (const [at, value] of changes) bytes[at] = value;
          const names = readCertificateNames(bytes.subarray(0, length));
          for (const name of [...names.uris, ...names.dnsNames]) {
            expect(name).toMatch(/^[\x21-\x7e]*$/);
          }
        },
      ),
      { numRuns: Number(process.env['WEFT_FUZZ_RUNS'] ?? 300) },
    );
  });
});

describe('readPeerCertificate', () => {
  const read = (der: Buffer) => readPeerCertificate({ raw: der, subject: 'O=org\nCN=client' });

  test('[SC-03] the one SPIFFE id is the principal', async () => {
    const { der } = await authority.issue({ uri: [ID] });
    expect(read(der)).toMatchObject({
      certificate: { principal: ID, uriSans: [ID], subject: 'CN=client,O=org' },
    });
  });

  test('[SC-03] two URI names with a SPIFFE id among them are refused', async () => {
    const { der } = await authority.issue({ uri: [ID, 'spiffe://cluster.local/ns/x/sa/y'] });
    expect(read(der)).toEqual({ problem: 'more than one URI SAN beside a SPIFFE id' });
  });

  test('[A3.7] a SAN mismatch names what was expected and what was seen', async () => {
    const { der } = await authority.issue({ uri: [ID] });
    const result = read(der);
    if ('problem' in result) throw new Error(result.problem);
    expect(subjectAltNameProblem(result.certificate, [exactly('URI', ID)])).toBe('');
    expect(subjectAltNameProblem(result.certificate, [])).toBe('');
    const other = 'spiffe://cluster.local/ns/default/sa/ratings';
    expect(subjectAltNameProblem(result.certificate, [exactly('URI', other)])).toBe(
      `SAN mismatch: expected ${other}, seen ${ID}`,
    );
    expect(subjectAltNameProblem(result.certificate, [exactly('DNS', ID)])).toContain('mismatch');
  });
});
