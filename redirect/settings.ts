import type { IpRange } from './ip-range.ts';

/** What the rules shall be. Built only by `parseFlags` and `withNameservers`, frozen; past it nothing is checked again. */
export interface RedirectSettings {
  /** `REDIRECT`, or `NONE`: no rules at all. */
  readonly mode: 'REDIRECT' | 'NONE';
  /** Where the app's outbound connections go. Default 15001. */
  readonly outboundPort: number;
  /** Where connections from outside go. Default 15006. */
  readonly inboundPort: number;
  /** HBONE: never redirected, the sidecar listens there itself. Default 15008. */
  readonly tunnelPort: number;
  /** Whose traffic is the sidecar's own. Default 1337; never 0. */
  readonly proxyUids: readonly number[];
  readonly proxyGids: readonly number[];
  /** Inbound ports to take: all, or these. Empty: none. Default all. */
  readonly inboundPorts: '*' | readonly PortRange[];
  /** Inbound ports left alone where all are taken; the sidecar's own are among them. */
  readonly inboundPortsExcluded: readonly PortRange[];
  /** Outbound ports taken whatever the address. Default none. */
  readonly outboundPorts: readonly PortRange[];
  readonly outboundPortsExcluded: readonly PortRange[];
  /** Destinations taken: all, or these. Empty: none but `outboundPorts`. Default all. */
  readonly outboundRanges: '*' | readonly IpRange[];
  readonly outboundRangesExcluded: readonly IpRange[];
  /** Network interfaces whose traffic is left alone, both ways. */
  readonly interfacesExcluded: readonly string[];
  /** Interfaces of virtual machines: what comes in there is treated as outbound. */
  readonly kubeVirtInterfaces: readonly string[];
  /** Only apps of these groups are redirected, or all but these. */
  readonly ownerGroups: { readonly except: boolean; readonly gids: readonly number[] };
  readonly dns: DnsCapture;
  /** Drop what connection tracking calls INVALID, instead of letting the kernel answer it with RST. */
  readonly dropInvalid: boolean;
}

/** Which DNS questions go to the sidecar's `port`. */
export type DnsCapture =
  | { readonly kind: 'off' }
  | { readonly kind: 'all'; readonly port: number }
  | {
      readonly kind: 'servers';
      readonly port: number;
      /** Addresses without zone, as iptables prints them. Empty until resolv.conf is read. */
      readonly v4: readonly string[];
      readonly v6: readonly string[];
    };

/** `8080`, or `8000:8010` as iptables writes a range. */
export type PortRange = string;

export type Family = 'v4' | 'v6';
export const FAMILIES: readonly Family[] = ['v4', 'v6'];

/** The sidecar's ports that others may call directly: merged metrics and probes, health, its own metrics. */
export const SIDECAR_PORTS: readonly PortRange[] = ['15090', '15021', '15020'];

/** IPv4 loopback needs no address of its own for 127.0.0.6; IPv6 has one loopback address, so `::6` is added to lo. */
export const PASSTHROUGH_SOURCE = { v4: '127.0.0.6/32', v6: '::6/128' } as const;
export const LOOPBACK = { v4: '127.0.0.1/32', v6: '::1/128' } as const;
