import { grpcStatusOfHttp, httpStatusOfGrpc } from '../http/grpc-status.ts';
import { ResponseFlag } from '../observe/request-record.ts';
import type { LocalOutcome, UpstreamResetReason } from '../router/outcome.ts';

/** What the client reads and what the log keeps of a request that was answered here. */
export interface LocalReply {
  readonly status: number;
  /** `grpc-status` for a gRPC request. */
  readonly grpcStatus: number;
  /** Text of the body, and `grpc-message` for a gRPC request. */
  readonly body: string | Buffer;
  /** Name, value, …: fields beside the usual ones. */
  readonly headers: readonly string[];
  /** OR of `ResponseFlag`. */
  readonly flags: number;
  /** `%RESPONSE_CODE_DETAILS%`, no blanks. */
  readonly details: string;
}

/**
 * The only mapping from outcome to status, flag, body and details: a new kind does not compile until
 * it is answered here. Texts are Envoy's, because people search for them.
 */
export function localReply(outcome: LocalOutcome): LocalReply {
  switch (outcome.kind) {
    case 'noRouteFound':
      return reply(404, '', ResponseFlag.NR, 'route_not_found');
    case 'noRouteConfiguration':
      return reply(404, '', ResponseFlag.NR, 'route_configuration_not_found');
    case 'noClusterFound':
      return reply(outcome.status, '', ResponseFlag.NC, 'cluster_not_found');
    case 'noHealthyUpstream':
      return reply(503, 'no healthy upstream', ResponseFlag.UH, 'no_healthy_upstream');
    case 'loopDetected':
      return reply(
        508,
        `loop detected: ${outcome.endpoint} is a listener of this proxy`,
        ResponseFlag.UF,
        'loop_detected',
      );
    case 'upstreamReset':
      return upstreamReset(outcome.reason, outcome.transportFailureReason, outcome.retried);
    case 'upstreamRequestTimeout':
      return reply(504, 'upstream request timeout', ResponseFlag.UT, 'response_timeout');
    case 'upstreamPerTryTimeout':
      return reply(504, 'upstream request timeout', ResponseFlag.UT, 'upstream_per_try_timeout');
    case 'upstreamDurationMax':
      return reply(
        outcome.requestComplete ? 504 : 408,
        'upstream max stream duration reached',
        ResponseFlag.UMSDR,
        'upstream_max_stream_duration_reached',
      );
    case 'directResponse':
      return reply(outcome.status, outcome.body, 0, 'direct_response');
    case 'redirect':
      return reply(outcome.status, '', 0, 'direct_response', ['location', outcome.location]);
    case 'faultAbort':
      return faultAbort(outcome.status, outcome.grpcStatus);
    case 'rbacDenied':
      return rbacDenied(outcome.policy);
    case 'upgradeRefused':
      return reply(403, '', 0, 'upgrade_failed');
    case 'badRequest':
      return reply(400, '', 0, outcome.details);
    case 'badRequestBody':
      return reply(400, outcome.text, 0, outcome.details);
    case 'pathRedirect':
      return reply(307, '', 0, 'path_normalization_failed', ['location', outcome.location]);
    case 'streamIdleTimeout':
      return reply(
        outcome.requestComplete ? 504 : 408,
        'stream timeout',
        ResponseFlag.SI,
        'stream_idle_timeout',
      );
    case 'requestTimeout':
      return reply(408, 'request timeout', 0, 'request_overall_timeout');
    case 'durationTimeout':
      return {
        status: outcome.requestComplete ? 504 : 408,
        grpcStatus: DEADLINE_EXCEEDED,
        body: 'downstream duration timeout',
        headers: NO_HEADERS,
        flags: ResponseFlag.DT,
        details: 'max_duration_timeout',
      };
    default:
      return assertNever(outcome);
  }
}

/** A deadline of the call, not a failure of the server: the one timeout that has a gRPC status of its own. */
const DEADLINE_EXCEEDED = 4;
const NO_HEADERS: readonly string[] = Object.freeze([]);
const OVERLOADED: readonly string[] = Object.freeze(['x-envoy-overloaded', 'true']);

function reply(
  status: number,
  body: string | Buffer,
  flags: number,
  details: string,
  headers: readonly string[] = NO_HEADERS,
): LocalReply {
  return { status, grpcStatus: grpcStatusOfHttp(status), body, headers, flags, details };
}

/** A gRPC abort of a request that is not gRPC becomes the HTTP status that stands for it. */
function faultAbort(status: number, grpcStatus: number): LocalReply {
  const known = grpcStatus >= 0;
  const httpStatus = known ? httpStatusOfGrpc(grpcStatus) : status;
  return {
    status: httpStatus,
    grpcStatus: known ? grpcStatus : grpcStatusOfHttp(httpStatus),
    body: 'fault filter abort',
    headers: NO_HEADERS,
    flags: ResponseFlag.FI,
    details: 'fault_filter_abort',
  };
}

/** As in Envoy no flag: the details name the policy, blanks as `_` so that a log line keeps its columns. */
function rbacDenied(policy: string): LocalReply {
  const name = policy === '' ? 'none' : policy.replaceAll(/\s/g, '_');
  return reply(403, 'RBAC: access denied', 0, `rbac_access_denied_matched_policy[${name}]`);
}

function upstreamReset(
  reason: UpstreamResetReason,
  transportReason: string,
  retried: boolean,
): LocalReply {
  const { text, flag } = RESETS[reason];
  // As Envoy since 1.38.1 the transport's own words (a SAN mismatch, a refused connection) are for the
  // access log (`%UPSTREAM_TRANSPORT_FAILURE_REASON%`) and the details, not for the client.
  const body =
    `upstream connect error or disconnect/reset before headers. ` +
    `${retried ? 'retried and the latest ' : ''}reset reason: ${text}`;
  const details =
    `upstream_reset_before_response_started{${text}` +
    `${transportReason === '' ? '' : `,${transportReason}`}}`;
  return reply(
    reason === 'protocolError' ? 502 : 503,
    body,
    flag,
    details.replaceAll(/\s/g, '_'),
    reason === 'overflow' ? OVERLOADED : NO_HEADERS,
  );
}

/** `%RESPONSE_CODE_DETAILS%` where the response had begun. */
export function lateResetDetails(outcome: LocalOutcome): string {
  if (outcome.kind !== 'upstreamReset') return localReply(outcome).details;
  return `upstream_reset_after_response_started{${RESETS[outcome.reason].text.replaceAll(' ', '_')}}`;
}

/** Envoy's words for its StreamResetReason, and the flag of each. */
const RESETS: Readonly<Record<UpstreamResetReason, { text: string; flag: number }>> = {
  connectionFailure: { text: 'remote connection failure', flag: ResponseFlag.UF },
  connectTimeout: { text: 'connection timeout', flag: ResponseFlag.UF },
  connectionTermination: { text: 'connection termination', flag: ResponseFlag.UC },
  remoteReset: { text: 'remote reset', flag: ResponseFlag.UR },
  remoteRefused: { text: 'remote refused stream reset', flag: ResponseFlag.UR },
  localReset: { text: 'local reset', flag: ResponseFlag.LR },
  protocolError: { text: 'protocol error', flag: ResponseFlag.UPE },
  overflow: { text: 'overflow', flag: ResponseFlag.UO },
};

function assertNever(outcome: never): never {
  throw new Error(`outcome without a reply: ${JSON.stringify(outcome)}`);
}
