/** How this process was started, as `main.ts` sees it. */
export interface ProcessStart {
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** `process.execArgv`. */
  readonly execArgv: readonly string[];
  /** Address of an inspector that listens, or ''. */
  readonly inspectorUrl: string;
}

export interface Exposure {
  /** The variable or flag. */
  readonly what: string;
  readonly warning: string;
}

/** Variables that load code into the process, or weaken what it checks. The image sets none of them. */
const VARIABLES: readonly (readonly [name: string, effect: string])[] = [
  ['NODE_OPTIONS', 'can load code into the sidecar and open an inspector'],
  ['LD_PRELOAD', 'loads code into the sidecar'],
  ['LD_AUDIT', 'loads code into the sidecar'],
  ['NODE_TLS_REJECT_UNAUTHORIZED', 'turns certificate checks off; the sidecar ignores it'],
  ['OPENSSL_CONF', 'changes what OpenSSL accepts'],
];

/**
 * What of its start lets others in the pod read the keys that the sidecar holds (A5.6). Each is a warning and no
 * refusal: a debugger is at times what somebody wants.
 */
export function processExposures({ variables, execArgv, inspectorUrl }: ProcessStart): Exposure[] {
  const found: Exposure[] = [];
  for (const [what, effect] of VARIABLES) {
    if ((variables[what] ?? '') === '') continue;
    found.push({ what, warning: `${what} ${effect}; leave it unset in the sidecar's container` });
  }
  const inspect = execArgv.find((flag) => /^--(inspect|debug)\b/.test(flag));
  if (inspectorUrl !== '' || inspect !== undefined) {
    const what = inspect ?? 'inspector';
    const warning =
      'an inspector is open: whoever reaches it reads keys and runs code as the sidecar';
    found.push({ what, warning });
  }
  return found;
}

/** Whether a signal from the same user can open an inspector. */
export function opensInspectorOnSignal(execArgv: readonly string[]): boolean {
  return !execArgv.includes('--disable-sigusr1');
}
