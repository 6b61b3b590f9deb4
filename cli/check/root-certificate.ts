import { X509Certificate } from 'node:crypto';
import { type CheckOutcome, failed, OK } from './check.ts';

const DAY_MS = 86_400_000;
/** Days of life below which a root is one to see to: time enough to bring another one everywhere. */
const ROOT_DAYS_MIN = 60;

/** The certificates of a PEM text; throws where one is none. */
export function readCertificates(pem: string): X509Certificate[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return found.map((text) => new X509Certificate(text));
}

export function rootIsValid(certificates: readonly X509Certificate[], nowMs: number): CheckOutcome {
  if (certificates.length === 0) return failed('there is no certificate in it');
  for (const certificate of certificates) {
    const name = describe(certificate);
    if (certificate.validFromDate.getTime() > nowMs) {
      return failed(
        `${name} is not valid before ${certificate.validFromDate.toISOString()}: is a clock wrong?`,
      );
    }
    if (!certificate.ca) return failed(`${name} is no certificate of an authority`);
  }
  const alive = certificates.filter(({ validToDate }) => validToDate.getTime() > nowMs);
  if (alive.length > 0) return OK;
  return failed(
    certificates
      .map((each) => `${describe(each)} ended ${each.validToDate.toISOString()}`)
      .join('\n'),
  );
}

/** One root that lives on is enough: two are there while they change. */
export function rootLivesOn(certificates: readonly X509Certificate[], nowMs: number): CheckOutcome {
  const ends = Math.max(...certificates.map(({ validToDate }) => validToDate.getTime()));
  const days = Math.floor((ends - nowMs) / DAY_MS);
  return days >= ROOT_DAYS_MIN
    ? OK
    : failed(`the newest root ends ${new Date(ends).toISOString()}, in ${days} days`);
}

function describe(certificate: X509Certificate): string {
  return `root ${certificate.subject.replaceAll('\n', ', ') || certificate.serialNumber}`;
}
