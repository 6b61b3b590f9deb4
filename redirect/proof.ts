/** What one attempt to prove redirection showed. `skipped`: it cannot be tried here. */
export interface Proof {
  readonly kind: 'proven' | 'failed' | 'skipped';
  readonly line: string;
}

export function proven(line: string): Proof {
  return { kind: 'proven', line };
}

export function skipped(line: string): Proof {
  return { kind: 'skipped', line: `${line} (not tried)` };
}

export function failed(line: string): Proof {
  return { kind: 'failed', line };
}
