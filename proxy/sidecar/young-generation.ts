import { setFlagsFromString } from 'node:v8';

/** V8's own: its young generation, in which every object begins, doubles whenever enough survives a collection. */
const GROWTH_FACTOR = 2;

let holds = 0;

/**
 * Keeps V8's young generation as small as it is until the answer is called; what bounds it at all is on the command line
 * (cli/run/node-flags.ts). A start and a configuration are long lists of survivors, though what serves requests later is
 * not; collections come more often and are shorter meanwhile. A mesh of 1,000 services with 10 endpoints each: 71 → 49 MiB
 * of private memory.
 */
export function holdYoungGeneration(): () => void {
  let held = true;
  if (holds++ === 0) setGrowthFactor(1);
  return () => {
    if (!held) return;
    held = false;
    if (--holds === 0) setGrowthFactor(GROWTH_FACTOR);
  };
}

/** Read by V8 at each growth, so that it may be set at any time. */
function setGrowthFactor(factor: number): void {
  setFlagsFromString(`--semi-space-growth-factor=${factor}`);
}
