import type { Clock } from '../clock.ts';
import { keyOf, type Resource, type ResourceKey } from '../kinds/resource.ts';
import type { KubernetesFailure } from '../kubernetes/failure.ts';
import type { KubernetesClient } from '../kubernetes/kubernetes-client.ts';
import { isRecord } from '../kubernetes/kubernetes-object.ts';
import { CONTROL_PLANE } from '../kubernetes/own-objects.ts';
import type { MeshWarning } from '../mesh/mesh-warning.ts';
import type { PolicyRefusal } from '../mesh/policy-watch.ts';
import type { KubernetesKind } from '../store/kubernetes-kind.ts';
import { nextStatus, type PolicyMessage, type PolicyVerdict } from './policy-status.ts';
import { type Reconciled, WorkQueue } from './work-queue.ts';

export interface PolicyFindings {
  readonly warnings: readonly MeshWarning[];
  readonly refusals: readonly PolicyRefusal[];
}

export interface PolicyStatusControllerOptions {
  readonly client: KubernetesClient;
  readonly kinds: readonly KubernetesKind[];
  /**
   * What the snapshot found doubtful, and what it left out; null while there are policies that it does not know yet:
   * `refresh` is called when it does.
   */
  readonly findings: () => PolicyFindings | null;
  readonly mayWrite: () => boolean;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly random: () => number;
  readonly log: {
    warn(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
}

/** Milliseconds from a change of the mesh to the look at all policies; what comes in between is one look. */
const LOOK_MS = 300;
/** Milliseconds for which a kind without status subresource is left alone. */
const NO_STATUS_MS = 300_000;

/**
 * Writes into each policy's status what the mesh made of it: whether it is in force, what is wrong with it, what it
 * refers to that is not there. By the leader alone, through the status subresource, against the version that was judged,
 * and only where the status says something else: our own writes come back as events and end there.
 */
export class PolicyStatusController {
  readonly #options: PolicyStatusControllerOptions;
  readonly #queue: WorkQueue;
  readonly #noStatusUntilMs = new Map<KubernetesKind, number>();
  /** Judged, and not written yet. */
  readonly #judged = new Map<
    string,
    { readonly resource: Resource; readonly verdict: PolicyVerdict }
  >();
  /** Objects whose status says what the verdict is. */
  readonly #settled = new WeakMap<Resource, PolicyVerdict>();
  readonly #stops: readonly (() => void)[];
  #cancelLook: (() => void) | null = null;
  #isClosed = false;

  constructor(options: PolicyStatusControllerOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      clock: options.clock,
      random: options.random,
      reconcile: (key) => this.#reconcile(key),
      mayRun: options.mayWrite,
      // Ten thousand policies whose services all went away take some minutes, not the API server.
      perSecond: 50,
      burst: 100,
      onError: (error, key) => options.log.error({ err: error, key }, 'status not written'),
    });
    // Somebody else may write a status, which is no news to the mesh.
    this.#stops = options.kinds.map((kind) => kind.onProgress(() => this.refresh()));
  }

  /** The mesh has been built anew, or this replica begins to lead. */
  refresh(): void {
    if (this.#isClosed || this.#cancelLook !== null) return;
    this.#cancelLook = this.#options.clock.schedule(LOOK_MS, () => {
      this.#cancelLook = null;
      this.#look();
    });
  }

  close(): void {
    this.#isClosed = true;
    for (const stop of this.#stops) stop();
    this.#cancelLook?.();
    this.#queue.close();
  }

  #look(): void {
    const findings = this.#options.mayWrite() ? this.#options.findings() : null;
    if (findings === null) return;
    const verdicts = this.#judge(findings);
    for (const kind of this.#options.kinds) {
      const untilMs = this.#noStatusUntilMs.get(kind) ?? 0;
      if (kind.type === null || this.#options.clock.nowMs() < untilMs) continue;
      for (const resource of kind.objects().values()) {
        const key = keyText(keyOf(resource));
        const verdict = verdicts.get(key) ?? GOOD;
        if (this.#settled.get(resource) === verdict) continue;
        if (this.#next(resource, verdict) === null) {
          this.#settled.set(resource, verdict);
          continue;
        }
        this.#judged.set(key, { resource, verdict });
        this.#queue.add(key);
      }
    }
  }

  #judge({ warnings, refusals }: PolicyFindings): Map<string, PolicyVerdict> {
    const found = new Map<string, { accepted: boolean; messages: PolicyMessage[] }>();
    for (const { code, message, kind: name, ...about } of warnings) {
      // A warning names the kind alone; among ours that is enough.
      const kind = this.#options.kinds.find((one) => one.kind.kind === name)?.kind;
      if (kind === undefined) continue;
      const key = keyText({ group: kind.group, kind: name, ...about });
      const verdict = found.get(key) ?? { accepted: true, messages: [] };
      verdict.messages.push({ code, level: ERRORS.has(code) ? 'ERROR' : 'WARNING', message });
      found.set(key, verdict);
    }
    for (const { key, problems } of refusals) {
      const messages = problems.map((message): PolicyMessage => {
        return { code: SCHEMA_CODE, level: 'ERROR', message };
      });
      found.set(keyText(key), { accepted: false, messages });
    }
    return found;
  }

  #next(resource: Resource, verdict: PolicyVerdict) {
    return nextStatus(resource.status, resource.metadata, verdict, this.#options.wallMs());
  }

  async #reconcile(key: string): Promise<Reconciled> {
    const [group, kindName, namespace, name] = key.split('/') as [string, string, string, string];
    const kind = this.#options.kinds.find((one) => keyKind(one) === `${group}/${kindName}`);
    const type = kind?.type ?? null;
    const judged = this.#judged.get(key);
    this.#judged.delete(key);
    if (kind === undefined || judged === undefined || type === null) return 'unchanged';
    const { resource, verdict } = judged;
    // Another version by now, to be judged anew, or gone.
    if (kind.objects().get(`${namespace}/${name}`) !== resource) return 'unchanged';
    const status = this.#next(resource, verdict);
    if (status === null) return 'unchanged';
    const patch = { metadata: { resourceVersion: resource.metadata.resourceVersion }, status };
    const { client } = this.#options;
    const written = await client.patch(type, namespace, name, 'merge', patch, {
      subresource: 'status',
      fieldManager: CONTROL_PLANE,
    });
    if (written.ok) return 'written';
    const isDone = this.#isSettledBy(kind, name, written.failure);
    if (!isDone) this.#judged.set(key, judged); // for the next attempt
    return isDone ? 'unchanged' : 'failed';
  }

  /** Whether a failure leaves nothing to be tried again. */
  #isSettledBy(kind: KubernetesKind, name: string, failure: KubernetesFailure): boolean {
    const { log, clock } = this.#options;
    // Another version is there by now: its event brings it back here once it has been judged.
    if (failure.code === 409) return true;
    if (failure.code === 404) {
      const details = failure.status?.['details'];
      if (isRecord(details) && details['name'] === name) return true; // it was deleted
      log.warn({ kind: kind.kind.kind }, 'the CRD has no status subresource; no status is written');
      this.#noStatusUntilMs.set(kind, clock.nowMs() + NO_STATUS_MS);
      return true;
    }
    log.warn({ kind: kind.kind.kind, name }, `status not written: ${failure.message}`);
    return false;
  }
}

const GOOD: PolicyVerdict = { accepted: true, messages: [] };
/** Istio's codes whose level is Error. */
const ERRORS: ReadonlySet<string> = new Set(['IST0101', 'IST0109']);

/** Istio's SchemaValidationError. */
const SCHEMA_CODE = 'IST0106';

function keyKind({ kind }: KubernetesKind): string {
  return `${kind.group}/${kind.kind}`;
}

function keyText({ group, kind, namespace, name }: ResourceKey): string {
  return `${group}/${kind}/${namespace}/${name}`;
}
