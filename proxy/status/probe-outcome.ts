/** What came of asking the app. */
export interface ProbeOutcome {
  /** Answered to the kubelet, which takes 200 to 399 for well. */
  readonly status: number;
  /** The app's own words, cut to `BODY_BYTES_MAX`, or why it could not be asked. */
  readonly body: string;
}

/** As much of the app's answer as Istio passes on. */
export const BODY_BYTES_MAX = 10 * 1024;

export const WELL: ProbeOutcome = Object.freeze({ status: 200, body: '' });

export function unwell(reason: string): ProbeOutcome {
  return { status: 500, body: `${reason}\n` };
}

/** `ECONNREFUSED` and the like in words. */
export function connectProblem(error: NodeJS.ErrnoException): string {
  const words = new Map([
    ['ECONNREFUSED', 'nothing listens there'],
    ['ECONNRESET', 'the app closed the connection'],
    ['EHOSTUNREACH', 'there is no way there'],
    ['EADDRNOTAVAIL', 'the source address is not there; is the redirection set up?'],
  ]);
  const known = words.get(error.code ?? '');
  return known === undefined ? error.message : `${known} (${error.code})`;
}
