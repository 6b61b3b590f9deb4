import { cutLabelValue, type Label, type Labels, renderLabels } from './label-text.ts';
import { Counter } from './metric.ts';
import type { Series, StatName, StatsScope } from './stats.ts';

/** One series of every owner. */
export interface PlannedSeries<Owner> {
  readonly name: StatName;
  readonly help: string;
  readonly kind: 'counter' | 'gauge';
  readonly labels: Labels;
  /** What the owner counts with, null = it has counted nothing yet; or its value at scrape time, which must not throw. */
  readonly value:
    | { readonly counter: (owner: Owner) => Counter | null }
    | { readonly read: (owner: Owner) => number };
}

/** Series that many owners have alike, each under its name: those of every cluster. */
export interface SeriesPlan<Owner> {
  /** `cluster`, of the dotted name. */
  readonly dotted: string;
  /** `envoy_cluster`, of Prometheus' name. */
  readonly prometheus: string;
  /** The label that holds the owner's name. */
  readonly label: string;
  readonly series: readonly PlannedSeries<Owner>[];
  /** Makes the one that counts for all owners beyond the bound of the registry; `scope` is for further series of it. */
  readonly other: (scope: StatsScope) => Owner;
}

/** Some of a family's series, made when they are looked at. */
export interface SeriesColumn {
  rows(): Generator<Series>;
}

/**
 * The owners of one plan. A mesh has thousands of clusters with some forty series each, of which most are never counted
 * in and all have names that follow from the cluster's: here a cluster takes one entry of a map, and its series are put
 * together, line for line, when somebody asks for them.
 */
export class SeriesGroup<Owner> {
  readonly plan: SeriesPlan<Owner>;
  readonly members = new Map<string, Owner>();
  other: Owner | null = null;

  constructor(plan: SeriesPlan<Owner>) {
    this.plan = plan;
  }

  get isEmpty(): boolean {
    return this.members.size === 0 && this.other === null;
  }
}

/** One planned series of all members. */
export class GroupColumn<Owner> implements SeriesColumn {
  readonly series: PlannedSeries<Owner>;
  readonly #group: SeriesGroup<Owner>;

  constructor(group: SeriesGroup<Owner>, series: PlannedSeries<Owner>) {
    this.#group = group;
    this.series = series;
  }

  *rows(): Generator<Series> {
    const { members, other } = this.#group;
    for (const [name, owner] of members) yield this.#row(name, owner);
    if (other !== null) yield this.#row(OVERFLOW_LABEL_VALUE, other);
  }

  #row(name: string, owner: Owner): Series {
    const { dotted, label } = this.#group.plan;
    const { value, name: own, labels: more } = this.series;
    const labels: Label[] = [[label, cutLabelValue(name)], ...more];
    return {
      labelText: renderLabels(labels),
      labels,
      dotted: `${dotted}.${name}.${typeof own === 'string' ? own : own.dotted}`,
      metric: 'counter' in value ? (value.counter(owner) ?? NOTHING) : NOTHING,
      read: 'read' in value ? () => value.read(owner) : null,
    };
  }
}

export const OVERFLOW_LABEL_VALUE = 'other';

/** Of an owner that has counted nothing. Nobody adds to it. */
const NOTHING = new Counter();
