import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';

/** How a gRPC channel verifies its server: options of the channel, and of its credentials. */
export interface GrpcServerName {
  readonly channelOptions: Readonly<Record<string, string>>;
  readonly verifyOptions: {
    checkServerIdentity?: (host: string, certificate: PeerCertificate) => Error | undefined;
  };
}

/** SNI where the server is known by an address only: an address may not stand there (RFC 6066 §3). */
const SNI_OF_ADDRESS = 'localhost';

/**
 * The server's certificate must carry `serverName`, or, where that is '', the host of `target`. An IP address needs
 * help: grpc-js sends it as SNI, which Node refuses; so another name is sent and the address is what is verified.
 */
export function grpcServerName(target: string, serverName: string): GrpcServerName {
  if (serverName !== '') {
    return {
      channelOptions: {
        'grpc.ssl_target_name_override': serverName,
        'grpc.default_authority': serverName,
      },
      verifyOptions: {},
    };
  }
  const host = target.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  if (isIP(host) === 0) return { channelOptions: {}, verifyOptions: {} };
  return {
    channelOptions: { 'grpc.ssl_target_name_override': SNI_OF_ADDRESS },
    verifyOptions: {
      checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
    },
  };
}
