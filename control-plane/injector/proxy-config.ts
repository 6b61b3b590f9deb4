import { parseDocument } from 'yaml';
import { printable } from '../kinds/problem.ts';
import type { AnnotationValue } from './annotation-value.ts';
import { isMap } from './pod.ts';
import { isProxyMetadata, variableProblem } from './reserved-variables.ts';
import { isStatusPort } from './scrape-target.ts';

/** What `proxy.istio.io/config` may say of one pod; Istio's ProxyConfig has more. */
export interface ProxyConfig {
  readonly holdApplicationUntilProxyStarts?: boolean;
  readonly terminationDrainSeconds?: number;
  readonly statusPort?: number;
  readonly interceptionMode?: 'REDIRECT' | 'NONE';
  /** Environment of the sidecar. */
  readonly proxyMetadata?: Readonly<Record<string, string>>;
}

const CHARS_MAX = 16_384;
/** The longest drain that a sidecar takes: a day. */
const SECONDS_MAX = 86_400;
const FIELDS =
  'holdApplicationUntilProxyStarts, terminationDrainDuration, statusPort, interceptionMode, proxyMetadata';

/** Reads the YAML text of the annotation. */
export function readProxyConfig(text: string): AnnotationValue<ProxyConfig> {
  if (text.length > CHARS_MAX) return { wanted: `at most ${CHARS_MAX} characters` };
  const document = parseDocument(text, { logLevel: 'silent', prettyErrors: false });
  if (document.errors.length > 0) {
    return { wanted: `YAML; ${document.errors[0]!.message.split('\n')[0]}` };
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 0 }) ?? {};
  } catch {
    return { wanted: 'YAML without aliases' };
  }
  if (!isMap(value)) return { wanted: `a map of ${FIELDS}` };
  const config: { -readonly [Field in keyof ProxyConfig]: ProxyConfig[Field] } = {};
  for (const [field, of] of Object.entries(value)) {
    if (field === 'holdApplicationUntilProxyStarts' && typeof of === 'boolean') {
      config.holdApplicationUntilProxyStarts = of;
    } else if (field === 'terminationDrainDuration' && isSeconds(of)) {
      config.terminationDrainSeconds = Math.ceil(Number(of.slice(0, -1)));
    } else if (field === 'statusPort' && isPort(of)) {
      config.statusPort = of;
    } else if (field === 'interceptionMode' && (of === 'REDIRECT' || of === 'NONE')) {
      config.interceptionMode = of;
    } else if (field === 'proxyMetadata' && isEnvironment(of)) {
      config.proxyMetadata = of;
    } else if (field === 'proxyMetadata' && isMap(of)) {
      const name = Object.keys(of).find((one) => !isProxyMetadata(one) || !isText(of[one])) ?? '';
      const problem = isText(of[name])
        ? variableProblem(name) || 'is none of the sidecar'
        : 'is no text';
      return { wanted: `right in the field proxyMetadata: ${printable(name)} ${problem}` };
    } else if (FIELDS.split(', ').includes(field)) {
      return { wanted: `right in the field ${field}, which it is not` };
    } else {
      return { wanted: `a map of ${FIELDS}; Weft has no ${field.slice(0, 60)}` };
    }
  }
  return { value: config };
}

function isSeconds(value: unknown): value is string {
  if (typeof value !== 'string' || !/^\d{1,5}(\.\d{1,9})?s$/.test(value)) return false;
  return Number(value.slice(0, -1)) <= SECONDS_MAX;
}

function isPort(value: unknown): value is number {
  return typeof value === 'number' && isStatusPort(value);
}

function isEnvironment(value: unknown): value is Record<string, string> {
  return (
    isMap(value) &&
    Object.entries(value).every(([name, text]) => isProxyMetadata(name) && isText(text))
  );
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}
