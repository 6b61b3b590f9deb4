import type { HeaderBlock } from './header-block.ts';

/** Protocol versions as access logs spell them (`%PROTOCOL%`). */
export type HttpVersion = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';

/**
 * The head of a request, the same for every HTTP version. Pseudo-header fields are members;
 * `headers` holds neither `host` nor `:`-names. Hop-by-hop fields (RFC 9110 §7.6.1) have been taken
 * out by the codec, except that an upgrade leaves its protocol in `upgrade`.
 */
export class RequestHead {
  method: string;
  /** `http` or `https`: from the absolute form, else what the connection is. */
  scheme: string;
  /** Host and optional port as received, or '' (HTTP/1.0 only). */
  authority: string;
  /** Path with query, or `*`; for CONNECT ''. */
  path: string;
  headers: HeaderBlock;
  version: HttpVersion;
  /**
   * What the app spoke that the request began with: `version`, unless another sidecar carried an HTTP/1.1
   * request here over HTTP/2 (PR-06).
   */
  originalVersion: HttpVersion;
  /**
   * Lower-case protocol of an `Upgrade` request (`websocket`; several joined with `,`), `connect` for
   * CONNECT, else ''. Such a request has no content of its own; its half of the stream is open
   * (`endStream` false) until the response says whether it becomes a tunnel.
   */
  upgrade: string;
  /** The request target was in absolute form (explicit-proxy mode), RFC 9112 §3.2.2. */
  absoluteForm: boolean;
  /** Bytes of the body as announced by `content-length`, -1 where it is not announced. */
  contentLength: number;
  /** Names of fields that no HTTP/2 hop may index, as the sender asked (RFC 7541 §6.2.3); null = none. */
  neverIndexed: ReadonlySet<string> | null;

  constructor(
    method: string,
    scheme: string,
    authority: string,
    path: string,
    headers: HeaderBlock,
    version: HttpVersion,
  ) {
    this.method = method;
    this.scheme = scheme;
    this.authority = authority;
    this.path = path;
    this.headers = headers;
    this.version = version;
    this.originalVersion = version;
    this.upgrade = '';
    this.absoluteForm = false;
    this.contentLength = -1;
    this.neverIndexed = null;
  }
}

/** The head of a response. Framing (`content-length` kept, `transfer-encoding` not) is the codec's. */
export class ResponseHead {
  /** 100 to 999. */
  status: number;
  headers: HeaderBlock;
  version: HttpVersion;
  /**
   * The response switched protocols (101, or 2xx to CONNECT): what follows is a tunnel. A 101 keeps
   * the protocol it chose in the `upgrade` header; the codec writes `connection: upgrade`.
   */
  upgrade: boolean;
  /** Bytes of the body as announced by `content-length`, -1 where it is not announced. */
  contentLength: number;
  /** Names of fields that no HTTP/2 hop may index, as the sender asked (RFC 7541 §6.2.3); null = none. */
  neverIndexed: ReadonlySet<string> | null;

  constructor(status: number, headers: HeaderBlock, version: HttpVersion = 'HTTP/1.1') {
    this.status = status;
    this.headers = headers;
    this.version = version;
    this.upgrade = false;
    this.contentLength = -1;
    this.neverIndexed = null;
  }
}
