import { X509Certificate } from 'node:crypto';
import type { AdminSource, CertificateStatus, JsonObject } from './admin-source.ts';
import { type EndpointReply, json } from './http-endpoint.ts';
import { renderSections } from './json-text.ts';

const DAY_MS = 86_400_000;
/** Certificates shown of one PEM; a bundle of system roots has some 150. */
const CHAIN_LENGTH_MAX = 500;

/** `/certs`: `envoy.admin.v3.Certificates`. `nowMs`: wall clock. */
export function certsPage(source: AdminSource, nowMs: number): EndpointReply {
  return json(renderSections('certificates', certificateMessages(source.certificates(), nowMs)));
}

function* certificateMessages(
  certificates: Iterable<CertificateStatus>,
  nowMs: number,
): Generator<JsonObject> {
  for (const { path, trustedCaPem, certificateChainPem } of certificates) {
    yield {
      ca_cert: details(trustedCaPem, path, nowMs),
      cert_chain: details(certificateChainPem, path, nowMs),
    };
  }
}

function details(pem: string, path: string, nowMs: number): JsonObject[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return blocks.slice(0, CHAIN_LENGTH_MAX).map((block) => detail(block, path, nowMs));
}

function detail(pem: string, path: string, nowMs: number): JsonObject {
  try {
    const certificate = new X509Certificate(pem);
    const expiresMs = certificate.validToDate.getTime();
    return {
      path,
      serial_number: certificate.serialNumber.toLowerCase(),
      subject_alt_names: subjectAltNames(certificate.subjectAltName ?? ''),
      days_until_expiration: String(Math.max(0, Math.floor((expiresMs - nowMs) / DAY_MS))),
      valid_from: certificate.validFromDate.toISOString(),
      expiration_time: certificate.validToDate.toISOString(),
    };
  } catch {
    return { path: `${path} (this certificate cannot be read)` };
  }
}

/** For people; decisions are made on the DER (see tls/). Quoted names are left out as unusual. */
function subjectAltNames(text: string): JsonObject[] {
  const fields = new Map([
    ['URI', 'uri'],
    ['DNS', 'dns'],
    ['IP Address', 'ip_address'],
  ]);
  return text.split(', ').flatMap((name) => {
    const colon = name.indexOf(':');
    const field = fields.get(name.slice(0, colon));
    return field === undefined ? [] : [{ [field]: name.slice(colon + 1) }];
  });
}
