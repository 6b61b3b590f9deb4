import type { FaultDelay } from '../../../proto/gen/envoy/extensions/filters/common/fault/v3/fault.ts';
import type {
  FaultAbort,
  HTTPFault,
} from '../../../proto/gen/envoy/extensions/filters/http/fault/v3/fault.ts';
import type { FaultConfig } from '../../router/route-config.ts';
import { compileHeaderMatcher } from './header-matcher.ts';
import type { MessageReader } from './message-reader.ts';
import { compileFraction } from './percent.ts';

/** `envoy.extensions.filters.http.fault.v3.HTTPFault` (TM-18). A part without a percentage never happens. */
export function compileFault(reader: MessageReader<HTTPFault>): FaultConfig {
  const delay = reader.child('delay');
  const abort = reader.child('abort');
  return {
    ...(delay === undefined ? NO_DELAY : compileDelay(delay)),
    ...(abort === undefined ? NO_ABORT : compileAbort(abort)),
    headers: reader.children('headers').map(compileHeaderMatcher),
  };
}

const NO_DELAY = { delayMs: 0, delayPerMillion: 0 };
const NO_ABORT = { abortStatus: 0, abortGrpcStatus: -1, abortPerMillion: 0 };

function compileDelay(reader: MessageReader<FaultDelay>): typeof NO_DELAY {
  const percentage = reader.child('percentage');
  const delayPerMillion = percentage === undefined ? 0 : compileFraction(percentage);
  const set = reader.oneof('faultDelaySecifier');
  if (set?.$case !== 'fixedDelay') {
    reader.unsupportedCase(set, 'fixed_delay');
    return NO_DELAY;
  }
  const delayMs = reader.checkDuration(set.value, reader.caseAt('fixedDelay'), 1, 1);
  return { delayMs, delayPerMillion };
}

function compileAbort(reader: MessageReader<FaultAbort>): typeof NO_ABORT {
  const percentage = reader.child('percentage');
  const abortPerMillion = percentage === undefined ? 0 : compileFraction(percentage);
  const set = reader.oneof('errorType');
  switch (set?.$case) {
    case 'httpStatus':
      if (set.value < 200 || set.value > 599) {
        reader.caseProblem(set, `must lie between 200 and 599, is ${set.value}`);
      }
      return { abortStatus: set.value, abortGrpcStatus: -1, abortPerMillion };
    case 'grpcStatus':
      if (set.value > 16) reader.caseProblem(set, `${set.value} is not a gRPC status`);
      return { abortStatus: 0, abortGrpcStatus: set.value, abortPerMillion };
    default:
      reader.unsupportedCase(set, 'http_status or grpc_status');
      return NO_ABORT;
  }
}
