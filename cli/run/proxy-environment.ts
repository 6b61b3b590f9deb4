/**
 * The environment that sends an app's HTTP through its sidecar, in the spellings that runtimes read; Node.js needs
 * NODE_USE_ENV_PROXY besides. Addresses of this machine stay direct, names of the mesh do not.
 */
export function proxyEnvironment(outbound: string): Record<string, string> {
  const url = `http://${outbound}`;
  const direct = 'localhost,127.0.0.1,::1';
  return {
    HTTP_PROXY: url,
    http_proxy: url,
    HTTPS_PROXY: url,
    https_proxy: url,
    NO_PROXY: direct,
    no_proxy: direct,
    NODE_USE_ENV_PROXY: '1',
  };
}
