/** Record types and classes by number (IANA DNS parameters): those that are answered in a way of their own. */
export const RecordType = {
  A: 1,
  CNAME: 5,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  /** Would bring addresses of its own (`ipv4hint`), past the mesh. */
  SVCB: 64,
  HTTPS: 65,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;

export const CLASS_IN = 1;

/** RFC 1035 §4.1.1, RFC 6891 §9. */
export const ResponseCode = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  /** Stands partly in the OPT record. */
  BADVERS: 16,
} as const;
