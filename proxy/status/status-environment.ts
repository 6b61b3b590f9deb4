import { type AppProber, parseAppProbers } from './app-prober.ts';
import { parseScrapeTargets, type ScrapeTarget } from './scrape-target.ts';

/** What the injector tells the status port of the app, in Istio's variables or ours, which win. */
export interface AppEndpoints {
  readonly probers: ReadonlyMap<string, AppProber>;
  readonly targets: readonly ScrapeTarget[];
  /** Name of the variable that `targets` stand in, for messages. */
  readonly targetsVariable: string;
}

export type ParsedAppEndpoints =
  | { readonly ok: true; readonly endpoints: AppEndpoints }
  | { readonly ok: false; readonly problems: readonly string[] };

/** Reads `WEFT_APP_PROBERS` or `ISTIO_KUBE_APP_PROBERS`, and the same of `…_PROMETHEUS_ANNOTATIONS`. */
export function appEndpointsFromEnvironment(
  variables: Readonly<Record<string, string | undefined>>,
): ParsedAppEndpoints {
  const first = (...names: readonly [string, string]): string =>
    (variables[names[0]] ?? '') !== '' ? names[0] : names[1];
  const probersVariable = first('WEFT_APP_PROBERS', 'ISTIO_KUBE_APP_PROBERS');
  const probers = parseAppProbers(variables[probersVariable] ?? '');
  const targetsVariable = first('WEFT_PROMETHEUS_ANNOTATIONS', 'ISTIO_PROMETHEUS_ANNOTATIONS');
  const targets = parseScrapeTargets(variables[targetsVariable] ?? '');
  if (probers.ok && targets.ok) {
    const endpoints = { probers: probers.probers, targets: targets.targets, targetsVariable };
    return { ok: true, endpoints };
  }
  const problems: string[] = [];
  if (!probers.ok) problems.push(`${probersVariable}: ${probers.problem}`);
  if (!targets.ok) problems.push(...targets.problems.map((each) => `${targetsVariable}: ${each}`));
  return { ok: false, problems };
}
