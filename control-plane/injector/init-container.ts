import { INIT_CONTAINER, PROXY_UID } from './conflicts.ts';
import type { Container } from './pod.ts';
import type { PodOptions } from './pod-options.ts';

/**
 * The container that writes the redirection rules and ends (KI-02). The only one with capabilities: Pod Security
 * "baseline" does not allow NET_ADMIN, so a namespace that enforces it needs an exemption for this container.
 */
export function initContainer(options: PodOptions): Container {
  return {
    name: INIT_CONTAINER,
    image: options.image,
    ...(options.imagePullPolicy && { imagePullPolicy: options.imagePullPolicy }),
    args: redirectArguments(options),
    resources: {
      requests: { cpu: '10m', memory: '32Mi' },
      limits: { cpu: '2000m', memory: '1024Mi' },
    },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] },
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsGroup: 0,
      runAsNonRoot: false,
      runAsUser: 0,
      seccompProfile: { type: 'RuntimeDefault' },
    },
  };
}

/** Istio's spellings of the flags. Health, status and metrics ports are never redirected. */
function redirectArguments({ traffic, statusPort, dnsCapture }: PodOptions): string[] {
  const own = ['15090', '15021', ...(statusPort === 0 ? [] : [String(statusPort)])];
  const excludedInbound = [...own, ...traffic.excludeInboundPorts.split(',')]
    .filter((port, index, all) => port !== '' && all.indexOf(port) === index)
    .join(',');
  const includedInbound = traffic.includeInboundPorts
    .split(',')
    .filter((port) => !own.includes(port))
    .join(',');
  const args = ['redirect', '-p', '15001', '-z', '15006', '-m', 'REDIRECT'];
  args.push('-u', String(PROXY_UID), '-g', String(PROXY_UID));
  args.push('-i', traffic.includeOutboundIpRanges, '-x', traffic.excludeOutboundIpRanges);
  args.push('-b', includedInbound, '-d', excludedInbound);
  if (traffic.includeOutboundPorts !== '') args.push('-q', traffic.includeOutboundPorts);
  if (traffic.excludeOutboundPorts !== '') args.push('-o', traffic.excludeOutboundPorts);
  if (traffic.excludeInterfaces !== '') args.push('-c', traffic.excludeInterfaces);
  if (traffic.kubevirtInterfaces !== '') args.push('-k', traffic.kubevirtInterfaces);
  if (dnsCapture) args.push('--redirect-dns');
  return args;
}
