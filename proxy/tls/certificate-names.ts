/**
 * The subject alternative names of an X.509 certificate, read from its DER (RFC 5280 §4.2.1.6).
 * Node's `subjectaltname` is a display string in which a name may imitate others
 * (CVE-2021-44532); names are compared as the bytes that were signed, and a name with a byte outside
 * printable ASCII makes the certificate unusable (NUL bytes: CVE-2026-47778).
 *
 * Holds no state, throws nothing; every length is checked against its container.
 */
export interface CertificateNames {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** Textual: dotted IPv4, or eight hexadecimal groups of IPv6. */
  readonly ips: readonly string[];
  /** Why the certificate's names cannot be used, or ''. */
  readonly problem: string;
}

/** Bytes of a certificate that we look at; larger ones are refused. */
const CERTIFICATE_BYTES_MAX = 64 * 1024;
/** Names of one certificate. */
const NAMES_MAX = 128;
const NAME_BYTES_MAX = 2_048;

const SEQUENCE = 0x30;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const BOOLEAN = 0x01;
/** `[3] EXPLICIT Extensions` of TBSCertificate. */
const EXTENSIONS = 0xa3;
/** GeneralName choices, implicit primitive tags. */
const DNS_NAME = 0x82;
const URI_NAME = 0x86;
const IP_NAME = 0x87;
/** 2.5.29.17, id-ce-subjectAltName. */
const SUBJECT_ALT_NAME = '551d11';

export function readCertificateNames(der: Buffer): CertificateNames {
  if (der.length > CERTIFICATE_BYTES_MAX) return unusable('certificate is too large');
  const names = findSubjectAltName(der);
  if (typeof names === 'string') return names === '' ? NO_NAMES : unusable(names);
  return readGeneralNames(names);
}

/** The content of GeneralNames; '' where the extension is absent, else a problem. */
function findSubjectAltName(der: Buffer): Buffer | string {
  const certificate = readElement(der, 0);
  if (certificate === null || certificate.tag !== SEQUENCE) return MALFORMED;
  const tbs = readElement(certificate.content, 0);
  if (tbs === null || tbs.tag !== SEQUENCE) return MALFORMED;
  let extensions: Element | null = null;
  for (let at = 0; at < tbs.content.length; ) {
    const field = readElement(tbs.content, at);
    if (field === null) return MALFORMED;
    if (field.tag === EXTENSIONS) extensions = readElement(field.content, 0);
    at = field.end;
  }
  if (extensions === null) return '';
  if (extensions.tag !== SEQUENCE) return MALFORMED;
  let found: Buffer | null = null;
  for (let at = 0; at < extensions.content.length; ) {
    const extension = readElement(extensions.content, at);
    if (extension === null || extension.tag !== SEQUENCE) return MALFORMED;
    at = extension.end;
    const id = readElement(extension.content, 0);
    if (id === null || id.tag !== OBJECT_IDENTIFIER) return MALFORMED;
    if (id.content.toString('hex') !== SUBJECT_ALT_NAME) continue;
    // RFC 5280 §4.2: an extension stands once. Two readers might pick different ones.
    if (found !== null) return 'two subjectAltName extensions';
    let value = readElement(extension.content, id.end);
    if (value !== null && value.tag === BOOLEAN) value = readElement(extension.content, value.end);
    if (value === null || value.tag !== OCTET_STRING) return MALFORMED;
    const generalNames = readElement(value.content, 0);
    if (generalNames === null || generalNames.tag !== SEQUENCE) return MALFORMED;
    found = generalNames.content;
  }
  return found ?? '';
}

function readGeneralNames(content: Buffer): CertificateNames {
  const uris: string[] = [];
  const dnsNames: string[] = [];
  const ips: string[] = [];
  let count = 0;
  for (let at = 0; at < content.length; ) {
    const name = readElement(content, at);
    if (name === null) return unusable(MALFORMED);
    at = name.end;
    if (++count > NAMES_MAX) return unusable(`more than ${NAMES_MAX} subject alternative names`);
    if (name.tag === IP_NAME) {
      const ip = formatIp(name.content);
      if (ip === '') return unusable('an IP subject alternative name is neither 4 nor 16 bytes');
      ips.push(ip);
    } else if (name.tag === URI_NAME || name.tag === DNS_NAME) {
      const bad = unprintableByte(name.content);
      if (bad >= 0) {
        return unusable(
          `a subject alternative name holds the byte 0x${bad.toString(16).padStart(2, '0')}`,
        );
      }
      if (name.content.length > NAME_BYTES_MAX) return unusable('a name is too long');
      (name.tag === URI_NAME ? uris : dnsNames).push(name.content.toString('latin1'));
    }
  }
  return { uris, dnsNames, ips, problem: '' };
}

interface Element {
  readonly tag: number;
  readonly content: Buffer;
  /** Offset just after the element. */
  readonly end: number;
}

/** One TLV at `at`: definite lengths only, of at most four bytes, inside `bytes`; else null. */
function readElement(bytes: Buffer, at: number): Element | null {
  if (at + 2 > bytes.length) return null;
  const tag = bytes[at]!;
  if ((tag & 0x1f) === 0x1f) return null; // multi-byte tags stand nowhere in a certificate
  let length = bytes[at + 1]!;
  let start = at + 2;
  if (length >= 0x80) {
    const lengthBytes = length & 0x7f;
    if (lengthBytes === 0 || lengthBytes > 4 || start + lengthBytes > bytes.length) return null;
    length = 0;
    for (let index = 0; index < lengthBytes; index++) length = length * 256 + bytes[start + index]!;
    start += lengthBytes;
  }
  const end = start + length;
  if (end > bytes.length) return null;
  return { tag, content: bytes.subarray(start, end), end };
}

/** The first byte that is not 0x21 to 0x7e, or -1. */
function unprintableByte(bytes: Buffer): number {
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte < 0x21 || byte > 0x7e) return byte;
  }
  return -1;
}

function formatIp(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return '';
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(bytes.readUInt16BE(at).toString(16));
  return groups.join(':');
}

const MALFORMED = 'the certificate is not well-formed DER';

const NO_NAMES: CertificateNames = Object.freeze({
  uris: [],
  dnsNames: [],
  ips: [],
  problem: '',
});

function unusable(problem: string): CertificateNames {
  return { uris: [], dnsNames: [], ips: [], problem };
}
