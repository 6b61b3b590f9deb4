import { packAny } from '../../proto/any.ts';
import { duration } from '../../proto/duration.ts';
import { HTTPFault } from '../../proto/gen/envoy/extensions/filters/http/fault/v3/fault.ts';
import {
  type FractionalPercent,
  FractionalPercent_DenominatorType,
} from '../../proto/gen/envoy/type/v3/percent.ts';
import type { Any } from '../../proto/gen/google/protobuf/any.ts';
import { TYPE_FAULT } from '../../proto/type-urls.ts';
import { parseDurationMs } from '../kinds/duration.ts';
import { GRPC_STATUSES } from '../kinds/grpc-status.ts';
import type { HTTPFaultInjection } from '../kinds/virtual-service.ts';

/** Name under which the filter stands in the listener and its settings in a route. */
export const FAULT_FILTER = 'envoy.filters.http.fault';

/** TM-18, as a route's settings of the fault filter. */
export function faultConfig(fault: HTTPFaultInjection): ReadonlyMap<string, Any> {
  const { delay, abort } = fault;
  const message = HTTPFault.create({
    ...(delay !== undefined && {
      delay: {
        faultDelaySecifier: {
          $case: 'fixedDelay',
          value: duration(parseDurationMs(delay.fixedDelay) ?? 0),
        },
        percentage: percentage(delay.percentage.value),
      },
    }),
    ...(abort !== undefined && {
      abort: {
        errorType:
          abort.grpcStatus === undefined
            ? { $case: 'httpStatus', value: abort.httpStatus ?? 0 }
            : { $case: 'grpcStatus', value: GRPC_STATUSES.indexOf(abort.grpcStatus.toUpperCase()) },
        percentage: percentage(abort.percentage.value),
      },
    }),
  });
  return new Map([[FAULT_FILTER, packAny(TYPE_FAULT, message)]]);
}

/** To a ten-thousandth of a percent, which is as fine as Envoy draws. */
function percentage(percent: number): FractionalPercent {
  return {
    numerator: Math.round(percent * 10_000),
    denominator: FractionalPercent_DenominatorType.MILLION,
  };
}
