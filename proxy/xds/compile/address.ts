import { isIP } from 'node:net';
import type {
  Address,
  CidrRange,
  SocketAddress,
} from '../../../proto/gen/envoy/config/core/v3/address.ts';
import type { HostPort } from '../../tcp/socket-address.ts';
import type { MessageReader } from './message-reader.ts';

/** What an address may be: an IP literal, or a host name as well. */
export type AddressRule = 'ip' | 'ip-or-name';

const NOWHERE: HostPort = { host: '', port: 0 };

/** `envoy.config.core.v3.Address`: a TCP socket address with a number for its port. */
export function compileAddress(
  reader: MessageReader<Address> | undefined,
  rule: AddressRule,
): HostPort {
  if (reader === undefined) return NOWHERE;
  const set = reader.oneof('address');
  if (set?.$case !== 'socketAddress') {
    reader.unsupportedCase(set, 'socket_address');
    return NOWHERE;
  }
  return compileSocketAddress(reader.caseReader(set), rule);
}

export function compileSocketAddress(
  reader: MessageReader<SocketAddress>,
  rule: AddressRule,
): HostPort {
  const host = reader.required('address');
  reader.choice('protocol', [[0, 'TCP', true]], true);
  if (host !== '' && rule === 'ip' && isIP(host) === 0) {
    reader.problem('address', `"${host}" is not an IP address`);
  }
  const port = reader.oneof('portSpecifier');
  if (port === undefined) return { host, port: 0 };
  if (port.$case !== 'portValue') {
    reader.caseProblem(port, 'not supported; use port_value');
    return { host, port: 0 };
  }
  if (port.value > 65_535) {
    reader.caseProblem(port, `must lie between 0 and 65535, is ${port.value}`);
    return { host, port: 0 };
  }
  return { host, port: port.value };
}

/** `envoy.config.core.v3.CidrRange` as `address/bits`. */
export function compileCidrRange(reader: MessageReader<CidrRange>): string {
  const address = reader.required('addressPrefix');
  const family = isIP(address);
  if (family === 0 && address !== '') {
    reader.problem('addressPrefix', `"${address}" is not an IP address`);
  }
  const bits = reader.integer('prefixLen', { max: family === 6 ? 128 : 32, fallback: 0 });
  return `${address}/${bits}`;
}
