import { NodeProcess } from './node-process.ts';
import { hasProgram } from './program.ts';

/**
 * gRPC's health checker of Kubernetes, by gRPC's Go implementation: `$WEFT_GRPC_HEALTH_PROBE`, else `grpc-health-probe`
 * on PATH. It is built with `go install github.com/grpc-ecosystem/grpc-health-probe@latest`.
 */
const PROBE = process.env['WEFT_GRPC_HEALTH_PROBE'] ?? 'grpc-health-probe';

export const noGrpcHealthProbe = () =>
  hasProgram(PROBE, ['-version'])
    ? false
    : 'grpc-health-probe is not installed: set WEFT_GRPC_HEALTH_PROBE to the program or put it on PATH';

/** One check of `service` at `address`, through a tunnel of the proxy at `proxyPort` where that is given. */
export async function grpcHealthProbe(
  address: string,
  service: string,
  proxyPort = 0,
): Promise<{ readonly code: number; readonly output: string }> {
  const timeouts = ['-connect-timeout', '10s', '-rpc-timeout', '10s'];
  const probe = new NodeProcess(['-addr', address, '-service', service, ...timeouts], {
    command: PROBE,
    env: {
      HTTPS_PROXY: proxyPort === 0 ? undefined : `http://127.0.0.1:${proxyPort}`,
      https_proxy: undefined,
      NO_PROXY: undefined,
      no_proxy: undefined,
    },
  });
  return { code: await probe.exited, output: probe.output };
}
