import type { DestinationRuleSpec, Subset, TrafficPolicy } from '../kinds/destination-rule.ts';
import type { Resource } from '../kinds/resource.ts';
import { byAge } from '../registry/age.ts';
import { expandHost, HostIndex } from '../registry/host-name.ts';
import type { Service } from '../registry/registry.ts';
import { isVisible } from '../registry/visibility.ts';

/** The DestinationRules of one namespace for one host, merged (TM-24). */
export interface MeshDestinationRule {
  readonly host: string;
  readonly namespace: string;
  /** Of the oldest that has one. */
  readonly trafficPolicy: TrafficPolicy | undefined;
  /** In order of age; of two with one name the older. */
  readonly subsets: readonly Subset[];
  readonly exportTo: readonly string[];
  /** Namespace/name of those merged, for metadata and messages. */
  readonly names: readonly string[];
  /** Changes whenever one of those merged does. */
  readonly version: string;
}

/** DestinationRules by the order in which they are looked up (TM-24). */
export class DestinationRuleIndex {
  readonly all: readonly MeshDestinationRule[];
  readonly version: string;
  readonly #rootNamespace: string;
  readonly #byNamespace = new Map<string, HostIndex<MeshDestinationRule>>();

  constructor(
    resources: readonly Resource<DestinationRuleSpec>[],
    domain: string,
    rootNamespace: string,
  ) {
    this.#rootNamespace = rootNamespace;
    const groups = new Map<string, Resource<DestinationRuleSpec>[]>();
    for (const resource of [...resources].sort(byAge)) {
      const { namespace } = resource.metadata;
      const key = `${namespace}/${expandHost(resource.spec.host, namespace, domain)}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [resource]);
      else group.push(resource);
    }
    this.all = [...groups.values()].map((group) => merge(group, domain));
    this.version = this.all.map(({ version }) => version).join(' ');
    for (const rule of this.all) {
      let index = this.#byNamespace.get(rule.namespace);
      if (index === undefined) {
        index = new HostIndex();
        this.#byNamespace.set(rule.namespace, index);
      }
      index.add(rule.host, rule);
    }
  }

  /**
   * The one rule for calls of `service` from `clientNamespace`: the client's namespace, then the service's, then the
   * root namespace; within one the exact host before a wildcard.
   */
  find(service: Service, clientNamespace: string): MeshDestinationRule | undefined {
    for (const namespace of [clientNamespace, service.namespace, this.#rootNamespace]) {
      const rule = this.#byNamespace
        .get(namespace)
        ?.find(service.host, (each) => isVisible(each.exportTo, each.namespace, clientNamespace));
      if (rule !== undefined) return rule;
    }
    return undefined;
  }
}

function merge(
  group: readonly Resource<DestinationRuleSpec>[],
  domain: string,
): MeshDestinationRule {
  const oldest = group[0]!;
  const { namespace } = oldest.metadata;
  const subsets = new Map<string, Subset>();
  for (const { spec } of group) {
    for (const subset of spec.subsets) {
      if (!subsets.has(subset.name)) subsets.set(subset.name, subset);
    }
  }
  return {
    host: expandHost(oldest.spec.host, namespace, domain),
    namespace,
    trafficPolicy: group.find(({ spec }) => spec.trafficPolicy !== undefined)?.spec.trafficPolicy,
    subsets: [...subsets.values()],
    exportTo: oldest.spec.exportTo,
    names: group.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`),
    version: group
      .map(({ metadata }) => `${metadata.namespace}/${metadata.name}@${metadata.resourceVersion}`)
      .join(','),
  };
}
