/** How the app in this pod is reached, past the redirection. */
export interface AppAddress {
  /** The pod's address, or localhost where nothing is redirected; IP literal without brackets, or a name. */
  readonly host: string;
  /**
   * Address that connections come from: what leaves 127.0.0.6 (`::6`) the rules let pass, anything else from the
   * sidecar to the pod's own address is sent to 15006. '' = as the system likes.
   */
  readonly from: string;
}

/**
 * Istio's choice: a redirected pod is asked at its address, as the kubelet would ask it, so that an app that listens on
 * loopback alone fails its probes with a sidecar as it does without.
 */
export function appAddress(mode: string, instanceAddress: string): AppAddress {
  if (mode !== 'redirect' || instanceAddress === '') return { host: 'localhost', from: '' };
  return { host: instanceAddress, from: instanceAddress.includes(':') ? '::6' : '127.0.0.6' };
}

/** The address for a probe that names a host of its own. */
export function addressOf(app: AppAddress, host: string): AppAddress {
  return host === '' ? app : { host, from: '' };
}

/** `localAddress` for `net.connect`, where one is set. */
export function bindFrom({ from }: AppAddress): { readonly localAddress?: string } {
  return from === '' ? {} : { localAddress: from };
}
