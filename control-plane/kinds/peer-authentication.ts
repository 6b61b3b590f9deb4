import { AGE, type Kind } from './kind.ts';
import { LABEL_KEY, LABEL_VALUE } from './name-format.ts';
import type { StringMap } from './resource.ts';
import { choice, map, object, optional, type TextFormat, text, withDefault } from './schema.ts';

/** security.istio.io/v1 PeerAuthentication, with defaults applied (SC-02). Field names are Istio's. */
export interface PeerAuthenticationSpec {
  /** Absent = the whole namespace (the whole mesh in the root namespace). */
  readonly selector?: { readonly matchLabels: StringMap };
  /** Absent = UNSET: inherited from namespace, then mesh, then PERMISSIVE. */
  readonly mtls?: MutualTLS;
  /** Keys are workload (not service) port numbers in decimal; needs a selector. */
  readonly portLevelMtls: Readonly<Record<string, MutualTLS>>;
}

export interface MutualTLS {
  readonly mode: MutualTLSMode;
}

export type MutualTLSMode = 'UNSET' | 'DISABLE' | 'PERMISSIVE' | 'STRICT';

const PORT_KEY: TextFormat = {
  name: 'port',
  check: (port) =>
    /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65535 ? undefined : 'is not a port number',
};

const mutualTLS = object<MutualTLS>({
  mode: withDefault(
    choice<MutualTLSMode>(['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT']),
    'UNSET',
    'What the workload accepts; UNSET inherits.',
  ),
});

export const peerAuthentication: Kind<PeerAuthenticationSpec> = {
  group: 'security.istio.io',
  kind: 'PeerAuthentication',
  plural: 'peerauthentications',
  singular: 'peerauthentication',
  shortNames: ['pa'],
  versions: ['v1', 'v1beta1'],
  doc: 'Whether workloads take mutual TLS, plain text, or both (SC-02).',
  spec: object<PeerAuthenticationSpec>(
    {
      selector: optional(
        object<{ readonly matchLabels: StringMap }>({
          matchLabels: withDefault(
            map(LABEL_KEY, text({ format: LABEL_VALUE, mayBeEmpty: true })),
            {},
            'Labels that the workload must have, all of them.',
          ),
        }),
        'The workloads of the namespace that this is about; absent = all.',
      ),
      mtls: optional(mutualTLS, 'For all ports that portLevelMtls does not name.'),
      portLevelMtls: withDefault(map(PORT_KEY, mutualTLS), {}, 'By port of the workload.'),
    },
    {
      rules: [
        ({ selector, portLevelMtls }, report) => {
          if (portLevelMtls === undefined) return;
          const labels = selector?.matchLabels ?? {};
          if (Object.keys(labels).length === 0) {
            report(['portLevelMtls'], 'needs selector.matchLabels: ports belong to workloads');
          }
          if (Object.keys(portLevelMtls).length === 0)
            report(['portLevelMtls'], 'must not be empty');
        },
      ],
    },
  ),
  specOptional: true,
  printerColumns: [
    {
      name: 'Mode',
      type: 'string',
      doc: 'Mode for all ports not named',
      path: ['spec', 'mtls', 'mode'],
      priority: 0,
    },
    AGE,
  ],
};
