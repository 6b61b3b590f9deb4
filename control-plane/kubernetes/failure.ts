import { isRecord } from './kubernetes-object.ts';

/** Why a request to the API server gave nothing. */
export interface KubernetesFailure {
  readonly kind:
    | 'unreachable' // no connection, or it broke
    | 'timeout'
    | 'status' // the server answered with an error
    | 'malformed' // what came is not what the protocol says
    | 'tooLarge'
    | 'configuration'; // credentials that cannot be read
  /** HTTP status, or 0 where there was none. */
  readonly code: number;
  /** Kubernetes' reason (`NotFound`, `Conflict`, `Expired`, …), or ''. */
  readonly reason: string;
  /** For people: what was asked, where, and what came of it. */
  readonly message: string;
  /** Milliseconds that the server asked to wait, or 0. */
  readonly retryAfterMs: number;
  /** The server's `Status` object, or null. */
  readonly status: Readonly<Record<string, unknown>> | null;
}

export type KubernetesResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: KubernetesFailure };

export function failed(
  kind: KubernetesFailure['kind'],
  message: string,
): { readonly ok: false; readonly failure: KubernetesFailure } {
  const failure = { kind, code: 0, reason: '', message, retryAfterMs: 0, status: null };
  return { ok: false, failure };
}

/** An answer that is no success. `what`: `GET https://…/pods`. */
export function statusFailure(
  what: string,
  code: number,
  body: unknown,
  retryAfter: string | undefined,
): KubernetesFailure {
  const status = isRecord(body) && body['kind'] === 'Status' ? body : null;
  const reason = typeof status?.['reason'] === 'string' ? status['reason'] : (REASONS[code] ?? '');
  const said = typeof status?.['message'] === 'string' ? status['message'] : reason;
  return {
    kind: 'status',
    code,
    reason,
    message: `${what}: ${code}${said === '' ? '' : ` ${printable(said)}`}${ADVICE[code] ?? ''}`,
    retryAfterMs: retryAfterMs(retryAfter, status),
    status,
  };
}

/** The list or watch is too old to go on: 410, in the status or in an event. */
export function isExpired({ code, reason }: KubernetesFailure): boolean {
  return code === 410 || reason === 'Expired' || reason === 'Gone';
}

/** The request itself is at fault: it would fail in the same way again. */
export function isRefusal({ kind, code }: KubernetesFailure): boolean {
  return kind === 'status' && code >= 400 && code < 500 && code !== 408 && code !== 429;
}

const REASONS: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
};

const ADVICE: Readonly<Record<number, string>> = {
  401: '; check the token or client certificate that is used',
  403: '; the role of this user or service account must allow it',
};

/** Seconds that a server may ask for; more is a mistake or an attack. */
const RETRY_AFTER_S_MAX = 120;
const MESSAGE_CHARS_MAX = 500;

function retryAfterMs(
  header: string | undefined,
  status: Readonly<Record<string, unknown>> | null,
): number {
  const details = status?.['details'];
  const inBody = isRecord(details) ? details['retryAfterSeconds'] : undefined;
  const text = header ?? (typeof inBody === 'number' ? String(inBody) : '');
  if (!/^[0-9]{1,9}$/.test(text)) return 0;
  return Math.min(Number(text), RETRY_AFTER_S_MAX) * 1000;
}

/** Foreign text in logs: one line, bounded. */
export function printable(text: string): string {
  return text.slice(0, MESSAGE_CHARS_MAX).replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, ' ');
}
