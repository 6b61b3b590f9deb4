import { cutLabelValue, type Label, type Labels, renderLabels } from './label-text.ts';
import { Counter, Gauge, Histogram } from './metric.ts';
import {
  GroupColumn,
  OVERFLOW_LABEL_VALUE,
  type SeriesColumn,
  SeriesGroup,
  type SeriesPlan,
} from './series-group.ts';

/**
 * All statistics of the process. A series is defined once and read in two spellings: Envoy's dotted
 * name on `/stats` and the Prometheus name with labels on `/stats/prometheus`.
 *
 * ```ts
 * const scope = registry.clusterScope('outbound|9080||reviews');
 * const total = scope.counter('upstream_rq_total', 'Requests sent upstream');
 * total.add(1);
 * // cluster.outbound|9080||reviews.upstream_rq_total: 1
 * // envoy_cluster_upstream_rq_total{envoy_cluster_name="outbound|9080||reviews"} 1
 * scope.close(); // the cluster is gone, so are its series
 * ```
 *
 * The number of series is bounded (A7.4): beyond it every new label set of a family shares one
 * series whose label values are all `other`, and `weft_stats_overflow_total` counts them.
 */

export type { Label, Labels } from './label-text.ts';

/**
 * A string serves both spellings (`outlier_detection.ejections_active`: dots become `_` for
 * Prometheus). The pair is for Envoy's tagged names: `upstream_rq_2xx` is `upstream_rq_xx` with a label.
 */
export type StatName = string | { readonly dotted: string; readonly prometheus: string };

export type MetricKind = 'counter' | 'gauge' | 'histogram';

/** Series in one registry: a full label matrix of a large mesh, about 40 MB. */
const SERIES_MAX = 50_000;
/** One label set of a family. */
export interface Series {
  /** `a="b",c="d"` in Prometheus' escaping, '' without labels. */
  readonly labelText: string;
  readonly labels: Labels;
  /** Envoy's name, or `family{labels}` where there is none. */
  readonly dotted: string;
  readonly metric: Counter | Gauge | Histogram;
  /** Read at scrape time instead of `metric.value`. */
  readonly read: (() => number) | null;
}

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly kind: MetricKind;
  readonly bounds: readonly number[];
  readonly series: ReadonlyMap<string, Series>;
  /** Those of groups. */
  readonly columns: readonly SeriesColumn[];
  /** Takes the label sets beyond the bound; null until needed. */
  readonly overflow: Series | null;
}

/** Defines series, and takes back all that it defined. The same definition in two scopes is one series. */
export interface StatsScope {
  counter(name: StatName, help: string, labels?: Labels): Counter;
  gauge(name: StatName, help: string, labels?: Labels): Gauge;
  /** `bounds`: ascending upper bounds without +Inf. */
  histogram(name: StatName, help: string, bounds: readonly number[], labels?: Labels): Histogram;
  /** A value read at scrape time. `read` must not throw. */
  gaugeFrom(name: StatName, help: string, read: () => number, labels?: Labels): void;
  counterFrom(name: StatName, help: string, read: () => number, labels?: Labels): void;
  /** Removes the series that no other scope holds. Their objects may still be added to, unseen. */
  close(): void;
}

/** What a scope puts in front of the names it is given. */
export interface ScopePrefix {
  /** `cluster.<name>`, or ''. */
  readonly dotted: string;
  /** `envoy_cluster`, or ''. */
  readonly prometheus: string;
  readonly labels: Labels;
}

interface OwnedSeries extends Series {
  /** Scopes that hold it. */
  holders: number;
  read: (() => number) | null;
}

interface OwnedFamily extends Family {
  readonly series: Map<string, OwnedSeries>;
  columns: readonly SeriesColumn[];
  overflow: OwnedSeries | null;
}

interface Definition {
  readonly family: string;
  readonly dotted: string;
  readonly help: string;
  readonly kind: MetricKind;
  readonly bounds: readonly number[];
  readonly labels: Labels;
  readonly read: (() => number) | null;
}

export class StatsRegistry implements StatsScope {
  readonly #families = new Map<string, OwnedFamily>();
  // A plan and its group have one type of owner; the map cannot say so.
  readonly #groups = new Map<object, SeriesGroup<unknown>>();
  readonly #seriesMax: number;
  readonly #root: Scope;
  readonly #overflowed: Counter;
  #seriesCount = 0;

  /** Names below it are dotted on `/stats` and start with `envoy_` for Prometheus. */
  readonly envoy: StatsScope;

  constructor(seriesMax: number = SERIES_MAX) {
    this.#seriesMax = seriesMax;
    this.#root = new Scope(this, { dotted: '', prometheus: '', labels: [] });
    this.envoy = this.scope({ dotted: '', prometheus: 'envoy', labels: [] });
    this.#overflowed = this.counter(
      'weft_stats_overflow_total',
      'Label sets that found the registry full and share a series labelled other',
    );
    this.gaugeFrom('weft_stats_series', 'Series in the registry', () => this.#seriesCount);
    this.gaugeFrom('weft_stats_series_max', 'Series the registry takes', () => this.#seriesMax);
  }

  counter(name: StatName, help: string, labels?: Labels): Counter {
    return this.#root.counter(name, help, labels);
  }

  gauge(name: StatName, help: string, labels?: Labels): Gauge {
    return this.#root.gauge(name, help, labels);
  }

  histogram(name: StatName, help: string, bounds: readonly number[], labels?: Labels): Histogram {
    return this.#root.histogram(name, help, bounds, labels);
  }

  gaugeFrom(name: StatName, help: string, read: () => number, labels?: Labels): void {
    this.#root.gaugeFrom(name, help, read, labels);
  }

  counterFrom(name: StatName, help: string, read: () => number, labels?: Labels): void {
    this.#root.counterFrom(name, help, read, labels);
  }

  /** Takes back what was defined on the registry itself, for tests; scopes are closed on their own. */
  close(): void {
    this.#root.close();
  }

  scope(prefix: ScopePrefix): StatsScope {
    return new Scope(this, prefix);
  }

  /** For further series of one that has joined. */
  scopeOf(
    { dotted, prometheus, label }: Omit<SeriesPlan<unknown>, 'series' | 'other'>,
    name: string,
  ): StatsScope {
    return this.scope({ dotted: `${dotted}.${name}`, prometheus, labels: [[label, name]] });
  }

  /** `cluster.<name>.…`, `envoy_cluster_…{envoy_cluster_name="<name>"}`. */
  clusterScope(name: string): StatsScope {
    return this.scope({
      dotted: `cluster.${name}`,
      prometheus: 'envoy_cluster',
      labels: [['envoy_cluster_name', name]],
    });
  }

  /** `http.<prefix>.…`, `envoy_http_…{envoy_http_conn_manager_prefix="<prefix>"}`. */
  httpScope(statPrefix: string): StatsScope {
    return this.scope({
      dotted: `http.${statPrefix}`,
      prometheus: 'envoy_http',
      labels: [['envoy_http_conn_manager_prefix', statPrefix]],
    });
  }

  /** `tcp.<prefix>.…`, `envoy_tcp_…{envoy_tcp_prefix="<prefix>"}`. */
  tcpScope(statPrefix: string): StatsScope {
    return this.scope({
      dotted: `tcp.${statPrefix}`,
      prometheus: 'envoy_tcp',
      labels: [['envoy_tcp_prefix', statPrefix]],
    });
  }

  /** `listener.<address>.…`; Envoy writes `0.0.0.0_15006` for the address in the dotted name. */
  listenerScope(address: string): StatsScope {
    return this.scope({
      dotted: `listener.${address.replaceAll(':', '_')}`,
      prometheus: 'envoy_listener',
      labels: [['envoy_listener_address', address.replaceAll(':', '_')]],
    });
  }

  get families(): ReadonlyMap<string, Family> {
    return this.#families;
  }

  /** Every series, the overflow ones included. May be walked while series come and go. */
  *series(): Generator<readonly [Family, Series]> {
    for (const family of this.#families.values()) {
      for (const series of seriesOf(family)) yield [family, series];
    }
  }

  /** Counters and histograms back to 0, as Envoy's `/reset_counters`; gauges stay. */
  resetCounters(): void {
    for (const [, { metric }] of this.series()) {
      if (metric instanceof Counter) metric.value = 0;
      else if (metric instanceof Histogram) metric.reset();
    }
  }

  /**
   * Gives `owner` every series of the plan under its name, until it leaves. Answers who counts: the owner, or, where
   * the registry is full, the one that stands for all beyond it.
   */
  join<Owner>(plan: SeriesPlan<Owner>, name: string, owner: Owner): Owner {
    const group = this.#groupOf(plan);
    const { length } = plan.series;
    const isFull = this.#seriesCount + length > this.#seriesMax && !group.members.has(name);
    if (group.isEmpty) this.#listColumns(group);
    if (isFull) {
      this.#overflowed.add(length);
      group.other ??= plan.other(this.scopeOf(plan, OVERFLOW_LABEL_VALUE));
      return group.other;
    }
    // The newest owner of a name wins: it replaces the other one and is read from then on.
    if (!group.members.has(name)) this.#seriesCount += length;
    group.members.set(name, owner);
    return owner;
  }

  leave<Owner>(plan: SeriesPlan<Owner>, name: string, owner: Owner): void {
    const group = this.#groupOf(plan);
    if (group.members.get(name) !== owner) return;
    group.members.delete(name);
    this.#seriesCount -= plan.series.length;
    if (group.isEmpty) this.#unlistColumns(group);
  }

  #groupOf<Owner>(plan: SeriesPlan<Owner>): SeriesGroup<Owner> {
    let group = this.#groups.get(plan) as SeriesGroup<Owner> | undefined;
    if (group === undefined) {
      group = new SeriesGroup(plan);
      this.#groups.set(plan, group as SeriesGroup<unknown>);
    }
    return group;
  }

  #listColumns<Owner>(group: SeriesGroup<Owner>): void {
    for (const series of group.plan.series) {
      const family = this.#family({
        family: plannedFamily(group.plan, series.name),
        help: series.help,
        kind: series.kind,
        bounds: [],
      });
      family.columns = [...family.columns, new GroupColumn(group, series)];
    }
  }

  #unlistColumns<Owner>({ plan }: SeriesGroup<Owner>): void {
    for (const series of plan.series) {
      const family = this.#families.get(plannedFamily(plan, series.name));
      if (family === undefined) continue;
      family.columns = family.columns.filter(
        (column) => (column as GroupColumn<Owner>).series !== series,
      );
      this.#dropEmpty(family);
    }
  }

  /** For scopes only. */
  hold(definition: Definition): { series: OwnedSeries; release: () => void } {
    const family = this.#family(definition);
    const labels = definition.labels.map(([name, value]): Label => [name, cutLabelValue(value)]);
    const labelText = renderLabels(labels);
    let series = family.series.get(labelText);
    if (series === undefined) {
      if (this.#seriesCount >= this.#seriesMax && labels.length > 0) {
        this.#overflowed.add(1);
        return { series: overflowSeries(family, definition), release: () => {} };
      }
      series = newSeries(definition, labels, labelText);
      family.series.set(labelText, series);
      this.#seriesCount += 1;
    }
    // The newest definition wins: a cluster that replaces another one is read from then on.
    if (definition.read !== null) series.read = definition.read;
    series.holders += 1;
    const held = series;
    return { series: held, release: () => this.#release(family, held) };
  }

  #release(family: OwnedFamily, series: OwnedSeries): void {
    series.holders -= 1;
    if (series.holders > 0) return;
    if (family.series.delete(series.labelText)) this.#seriesCount -= 1;
    this.#dropEmpty(family);
  }

  #dropEmpty({ name, series, columns, overflow }: OwnedFamily): void {
    if (series.size + columns.length === 0 && overflow === null) this.#families.delete(name);
  }

  #family(definition: Pick<Definition, 'family' | 'help' | 'kind' | 'bounds'>): OwnedFamily {
    let family = this.#families.get(definition.family);
    if (family === undefined) {
      if (!METRIC_NAME.test(definition.family)) {
        throw new Error(`'${definition.family}' is not a metric name`);
      }
      const { family: name, help, kind, bounds } = definition;
      family = { name, help, kind, bounds, series: new Map(), columns: [], overflow: null };
      this.#families.set(name, family);
    }
    if (family.kind !== definition.kind) {
      throw new Error(
        `metric '${family.name}' is a ${family.kind}, and is defined again as a ${definition.kind}`,
      );
    }
    return family;
  }
}

/** Every series of a family, the overflow ones included. */
export function* seriesOf({ series, columns, overflow }: Family): Generator<Series> {
  yield* series.values();
  for (const column of columns) yield* column.rows();
  if (overflow !== null) yield overflow;
}

function plannedFamily({ prometheus }: { readonly prometheus: string }, name: StatName): string {
  const own = typeof name === 'string' ? name : name.prometheus;
  return join(prometheus, '_', own.replaceAll('.', '_'));
}

/** The value of a counter or gauge now. */
export function seriesValue({ read }: Series, metric: Counter | Gauge): number {
  return read === null ? metric.value : read();
}

class Scope implements StatsScope {
  readonly #registry: StatsRegistry;
  readonly #prefix: ScopePrefix;
  /** One entry a series: defining it twice in a scope holds it once. */
  #held = new Map<OwnedSeries, () => void>();

  constructor(registry: StatsRegistry, prefix: ScopePrefix) {
    this.#registry = registry;
    this.#prefix = prefix;
  }

  counter(name: StatName, help: string, labels: Labels = []): Counter {
    return this.#define('counter', name, help, [], labels, null) as Counter;
  }

  gauge(name: StatName, help: string, labels: Labels = []): Gauge {
    return this.#define('gauge', name, help, [], labels, null) as Gauge;
  }

  histogram(
    name: StatName,
    help: string,
    bounds: readonly number[],
    labels: Labels = [],
  ): Histogram {
    return this.#define('histogram', name, help, bounds, labels, null) as Histogram;
  }

  gaugeFrom(name: StatName, help: string, read: () => number, labels: Labels = []): void {
    this.#define('gauge', name, help, [], labels, read);
  }

  counterFrom(name: StatName, help: string, read: () => number, labels: Labels = []): void {
    this.#define('counter', name, help, [], labels, read);
  }

  close(): void {
    const held = this.#held;
    this.#held = new Map();
    for (const release of held.values()) release();
  }

  #define(
    kind: MetricKind,
    name: StatName,
    help: string,
    bounds: readonly number[],
    labels: Labels,
    read: (() => number) | null,
  ): Counter | Gauge | Histogram {
    const { dotted, prometheus } =
      typeof name === 'string' ? { dotted: name, prometheus: name } : name;
    const { series, release } = this.#registry.hold({
      family: join(this.#prefix.prometheus, '_', prometheus.replaceAll('.', '_')),
      dotted: this.#prefix.prometheus === '' ? '' : join(this.#prefix.dotted, '.', dotted),
      help,
      kind,
      bounds,
      labels: labels.length === 0 ? this.#prefix.labels : [...this.#prefix.labels, ...labels],
      read,
    });
    if (this.#held.has(series)) release();
    else this.#held.set(series, release);
    return series.metric;
  }
}

function newSeries(definition: Definition, labels: Labels, labelText: string): OwnedSeries {
  const { family, dotted, kind, bounds, read } = definition;
  return {
    labelText,
    labels,
    dotted: dotted !== '' ? dotted : labelText === '' ? family : `${family}{${labelText}}`,
    metric:
      kind === 'counter' ? new Counter() : kind === 'gauge' ? new Gauge() : new Histogram(bounds),
    read,
    holders: 0,
  };
}

function overflowSeries(family: OwnedFamily, definition: Definition): OwnedSeries {
  if (family.overflow === null) {
    const labels = definition.labels.map(([name]): Label => [name, OVERFLOW_LABEL_VALUE]);
    const shared = { ...definition, dotted: '', read: null };
    family.overflow = newSeries(shared, labels, renderLabels(labels));
  }
  return family.overflow;
}

function join(left: string, separator: string, right: string): string {
  return left === '' ? right : `${left}${separator}${right}`;
}

const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
