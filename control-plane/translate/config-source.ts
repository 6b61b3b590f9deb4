import { duration } from '../../proto/duration.ts';
import type { Address } from '../../proto/gen/envoy/config/core/v3/address.ts';
import type { DeepPartial } from '../../proto/gen/envoy/config/core/v3/base.ts';
import {
  ApiVersion,
  type ConfigSource,
} from '../../proto/gen/envoy/config/core/v3/config_source.ts';

/** "From this very stream", without a limit on the wait: a listener must not open with half of its configuration. */
export const FROM_ADS: DeepPartial<ConfigSource> = {
  configSourceSpecifier: { $case: 'ads', value: {} },
  initialFetchTimeout: duration(0),
  resourceApiVersion: ApiVersion.V3,
};

export function tcpAddress(host: string, port: number): DeepPartial<Address> {
  return {
    address: {
      $case: 'socketAddress',
      value: { address: host, portSpecifier: { $case: 'portValue', value: port } },
    },
  };
}

export function pipeAddress(path: string): DeepPartial<Address> {
  return { address: { $case: 'pipe', value: { path } } };
}
