import type { MutualTLSMode, PeerAuthenticationSpec } from '../kinds/peer-authentication.ts';
import type { Resource, StringMap } from '../kinds/resource.ts';
import { byAge } from '../registry/age.ts';
import { selects } from '../registry/service-entries.ts';

/** What a workload's port takes: never UNSET. */
export type EffectiveMutualTLSMode = Exclude<MutualTLSMode, 'UNSET'>;

/** PeerAuthentications by scope: workload before namespace before mesh, of one level the oldest (SC-02, PL-04). */
export class PeerAuthenticationIndex {
  /** Changes whenever an object does. */
  readonly version: string;
  /** False: no port of the mesh refuses mutual TLS, and callers need not ask. */
  readonly someDisable: boolean;
  readonly #rootNamespace: string;
  readonly #byNamespace = new Map<string, Resource<PeerAuthenticationSpec>[]>();

  constructor(resources: readonly Resource<PeerAuthenticationSpec>[], rootNamespace: string) {
    this.#rootNamespace = rootNamespace;
    const ordered = [...resources].sort(byAge);
    for (const resource of ordered) {
      const there = this.#byNamespace.get(resource.metadata.namespace);
      if (there === undefined) this.#byNamespace.set(resource.metadata.namespace, [resource]);
      else there.push(resource);
    }
    this.version = ordered
      .map(({ metadata }) => `${metadata.namespace}/${metadata.name}@${metadata.resourceVersion}`)
      .join(' ');
    this.someDisable = ordered.some(
      ({ spec }) =>
        spec.mtls?.mode === 'DISABLE' ||
        Object.values(spec.portLevelMtls).some(({ mode }) => mode === 'DISABLE'),
    );
  }

  /** For a port of the workload (not of the service). */
  mode(namespace: string, labels: StringMap, port: number): EffectiveMutualTLSMode {
    const own = this.#byNamespace.get(namespace) ?? [];
    const ofWorkload = own.find(
      ({ spec }) => spec.selector !== undefined && selects(spec.selector.matchLabels, labels),
    );
    const portMode = ofWorkload?.spec.portLevelMtls[String(port)]?.mode ?? 'UNSET';
    if (portMode !== 'UNSET') return portMode;
    const root = this.#byNamespace.get(this.#rootNamespace) ?? [];
    const scopes = [ofWorkload, own.find(isNamespaceWide), root.find(isNamespaceWide)];
    for (const scope of scopes) {
      const mode = scope?.spec.mtls?.mode ?? 'UNSET';
      if (mode !== 'UNSET') return mode;
    }
    return 'PERMISSIVE';
  }
}

function isNamespaceWide({ spec }: Resource<PeerAuthenticationSpec>): boolean {
  return spec.selector === undefined || Object.keys(spec.selector.matchLabels).length === 0;
}
