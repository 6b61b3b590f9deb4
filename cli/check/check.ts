/** One thing that `weft check` looks at. The description says what is true when all is well. */
export interface Check {
  readonly description: string;
  /** Anchor in docs/checks.md: every failure has a place that says what to do. */
  readonly hint: string;
  /** May become true by itself: looked at again until the time is up. */
  readonly retry?: boolean;
  /** What follows cannot be known where this fails. */
  readonly fatal?: boolean;
  /** A failure is one to know about, not one to stop for. */
  readonly warning?: boolean;
  readonly run: () => Promise<CheckOutcome>;
}

/** What was found; `reason` is for people and names the object, the address or the file. */
export type CheckOutcome =
  | { readonly kind: 'ok' }
  | { readonly kind: 'failed'; readonly reason: string }
  /** Nothing to judge here. */
  | { readonly kind: 'skipped'; readonly reason: string };

export const OK: CheckOutcome = Object.freeze({ kind: 'ok' });

export function failed(reason: string): CheckOutcome {
  return { kind: 'failed', reason };
}

/** `ok` where there is no reason against it. */
export function okUnless(reasons: readonly string[]): CheckOutcome {
  return reasons.length === 0 ? OK : failed(reasons.join('\n'));
}

export interface CheckCategory {
  /** `kubernetes-api` */
  readonly name: string;
  readonly checks: readonly Check[];
}

export interface CheckReport {
  readonly description: string;
  readonly hint: string;
  readonly result: 'success' | 'warning' | 'error' | 'skipped';
  /** '' for a success. */
  readonly reason: string;
}

export interface CategoryReport {
  readonly name: string;
  readonly checks: readonly CheckReport[];
}

export interface CheckTimes {
  /** Milliseconds, monotonic. */
  readonly nowMs: () => number;
  readonly wait: (ms: number) => Promise<void>;
  /** Milliseconds from the first look until a retried check has failed. */
  readonly waitMs: number;
}

const RETRY_MS = 1000;

/**
 * Looks at every category in order; `onReport` hears each check as it is settled. A fatal failure ends the whole: what
 * would follow could only repeat it.
 */
export async function runChecks(
  categories: readonly CheckCategory[],
  times: CheckTimes,
  onReport: (category: string, report: CheckReport) => void,
): Promise<CategoryReport[]> {
  const deadlineMs = times.nowMs() + times.waitMs;
  const reports: CategoryReport[] = [];
  for (const { name, checks } of categories) {
    const done: CheckReport[] = [];
    reports.push({ name, checks: done });
    for (const check of checks) {
      const report = await settle(check, times, deadlineMs);
      done.push(report);
      onReport(name, report);
      if (report.result === 'error' && check.fatal === true) return reports;
    }
  }
  return reports;
}

async function settle(check: Check, times: CheckTimes, deadlineMs: number): Promise<CheckReport> {
  const { description, hint } = check;
  for (;;) {
    const outcome = await look(check);
    if (outcome.kind === 'ok') return { description, hint, result: 'success', reason: '' };
    if (outcome.kind === 'skipped') {
      return { description, hint, result: 'skipped', reason: outcome.reason };
    }
    if (check.retry !== true || times.nowMs() + RETRY_MS > deadlineMs) {
      const result = check.warning === true ? 'warning' : 'error';
      return { description, hint, result, reason: outcome.reason };
    }
    await times.wait(RETRY_MS);
  }
}

/** A check that throws has found something too: the reason it could not look. */
async function look(check: Check): Promise<CheckOutcome> {
  try {
    return await check.run();
  } catch (error) {
    return failed((error as Error).message);
  }
}
