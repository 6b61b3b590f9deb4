import { isIP } from 'node:net';
import { AGE, type Kind } from './kind.ts';
import { DNS_SUBDOMAIN, LABEL_KEY, LABEL_VALUE, PORT_NAME } from './name-format.ts';
import type { StringMap } from './resource.ts';
import {
  integer,
  map,
  object,
  optional,
  required,
  type Schema,
  type TextFormat,
  text,
  withDefault,
} from './schema.ts';

/** networking.istio.io/v1 WorkloadEntry, with defaults applied; also an inline endpoint of a ServiceEntry. */
export interface WorkloadEntrySpec {
  /** IP address, DNS name (resolution DNS) or `unix:///path`. */
  readonly address: string;
  /** Service port name → port of this workload; absent name = the service's targetPort. */
  readonly ports: Readonly<Record<string, number>>;
  readonly labels: StringMap;
  /** `region/zone/subzone`. */
  readonly locality?: string;
  /** Relative, at least 1; default 1 (LB-07). */
  readonly weight: number;
  /** Name without namespace; decides the SPIFFE identity that callers expect. */
  readonly serviceAccount?: string;
}

const WORKLOAD_ADDRESS: TextFormat = {
  name: 'workload-address',
  check: (address) => {
    if (address.startsWith('unix://')) {
      return address.startsWith('unix:///')
        ? undefined
        : 'is not an absolute socket path (unix:///path)';
    }
    if (isIP(address) !== 0 || DNS_SUBDOMAIN.check(address) === undefined) return undefined;
    return 'is not an IP address, a DNS name or unix:///path';
  },
};

const LOCALITY: TextFormat = {
  name: 'locality',
  check: (locality) =>
    /^[^/*]+(?:\/[^/*]+){0,2}$/.test(locality)
      ? undefined
      : 'is not region, region/zone or region/zone/subzone',
};

export const workloadEntrySchema: Schema<WorkloadEntrySpec> = object<WorkloadEntrySpec>(
  {
    address: required(text({ format: WORKLOAD_ADDRESS }), 'IP address, DNS name or unix:///path.'),
    ports: withDefault(
      map(PORT_NAME, integer(1, 65535)),
      {},
      'Port of this workload for a service port name; others use the targetPort of the service.',
    ),
    labels: withDefault(
      map(LABEL_KEY, text({ format: LABEL_VALUE, mayBeEmpty: true })),
      {},
      'Labels that selectors and subsets look at.',
    ),
    locality: optional(text({ format: LOCALITY }), 'region/zone/subzone.'),
    weight: withDefault(
      integer(0, 2 ** 31 - 1),
      1,
      'Share of the load beside the other endpoints (LB-07).',
    ),
    serviceAccount: optional(
      text({ format: DNS_SUBDOMAIN }),
      'Service account of the workload, in the namespace of the object.',
    ),
  },
  {
    unsupported: { network: 'several networks and east-west gateways (LB-19) are not there yet' },
    rules: [
      ({ address, ports }, report) => {
        if (address?.startsWith('unix://') === true && ports !== undefined) {
          report(['ports'], 'must not be set with a unix:// address');
        }
      },
    ],
    // 0 means 1 in Istio (LB-07).
    complete: (value) => (value['weight'] === 0 ? { ...value, weight: 1 } : value),
  },
);

export const workloadEntry: Kind<WorkloadEntrySpec> = {
  group: 'networking.istio.io',
  kind: 'WorkloadEntry',
  plural: 'workloadentries',
  singular: 'workloadentry',
  shortNames: ['we'],
  versions: ['v1', 'v1beta1', 'v1alpha3'],
  doc: 'A workload outside any orchestrator, for a ServiceEntry to select.',
  spec: workloadEntrySchema,
  specOptional: false,
  printerColumns: [
    AGE,
    {
      name: 'Address',
      type: 'string',
      doc: 'Address of the workload',
      path: ['spec', 'address'],
      priority: 0,
    },
  ],
};
