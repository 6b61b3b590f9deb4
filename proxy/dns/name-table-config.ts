/** The names of the mesh as the control plane sends them, checked (DS-05). Frozen once built. */
export interface NameTableConfig {
  readonly version: string;
  /** By host, lower case, without a dot at the end; `*.suffix` for a wildcard. */
  readonly hosts: ReadonlyMap<string, NamedHost>;
}

export interface NamedHost {
  readonly host: string;
  readonly v4: readonly string[];
  readonly v6: readonly string[];
  /** `reviews` of `reviews.default.svc.cluster.local`, whose short names hold too; '' for any other host. */
  readonly shortname: string;
  readonly namespace: string;
  readonly ports: readonly NamedPort[];
}

export interface NamedPort {
  readonly name: string;
  readonly protocol: string;
  readonly number: number;
}
