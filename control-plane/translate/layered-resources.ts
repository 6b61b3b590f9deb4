import type { DiscoveryResource } from './discovery-resource.ts';

/**
 * Resources by name: what many proxies have in common, and over it what is one proxy's own, without a copy of either.
 * Immutable, as both its parts have to be.
 */
export class LayeredResources implements ReadonlyMap<string, DiscoveryResource> {
  readonly common: ReadonlyMap<string, DiscoveryResource>;
  readonly own: ReadonlyMap<string, DiscoveryResource>;
  readonly size: number;

  constructor(
    common: ReadonlyMap<string, DiscoveryResource>,
    own: ReadonlyMap<string, DiscoveryResource>,
  ) {
    this.common = common;
    this.own = own;
    let size = common.size;
    for (const name of own.keys()) if (!common.has(name)) size++;
    this.size = size;
  }

  get(name: string): DiscoveryResource | undefined {
    return this.own.get(name) ?? this.common.get(name);
  }

  has(name: string): boolean {
    return this.own.has(name) || this.common.has(name);
  }

  *keys(): MapIterator<string> {
    yield* this.common.keys();
    for (const name of this.own.keys()) if (!this.common.has(name)) yield name;
  }

  *values(): MapIterator<DiscoveryResource> {
    for (const [, resource] of this.entries()) yield resource;
  }

  *entries(): MapIterator<[string, DiscoveryResource]> {
    for (const name of this.keys()) yield [name, this.get(name)!];
  }

  [Symbol.iterator](): MapIterator<[string, DiscoveryResource]> {
    return this.entries();
  }

  forEach(
    visit: (
      resource: DiscoveryResource,
      name: string,
      all: ReadonlyMap<string, DiscoveryResource>,
    ) => void,
  ): void {
    for (const [name, resource] of this.entries()) visit(resource, name, this);
  }
}
