import { setFlagsFromString } from 'node:v8';

/** V8's own. */
const GROWING = 2;
const STANDING_STILL = 1;

let holds = 0;

/**
 * Keeps V8's young generation as small as it is, until the answer is called. It doubles, up to 32 MiB, whenever enough
 * of it survives, and does not shrink in a process that then has little to do: a start and a configuration are such
 * survivors, though what serves requests later are not. Collections come more often and are shorter meanwhile. Traffic
 * lets it grow as ever. A mesh of 1,000 services with 10 endpoints each, private memory: 71 → 49 MiB.
 */
export function holdHeapGrowth(): () => void {
  let held = true;
  holds++;
  if (holds === 1) setGrowthFactor(STANDING_STILL);
  return () => {
    if (!held) return;
    held = false;
    holds--;
    if (holds === 0) setGrowthFactor(GROWING);
  };
}

/** Read by V8 at each growth, so that it may be set at any time. */
function setGrowthFactor(factor: number): void {
  setFlagsFromString(`--semi-space-growth-factor=${factor}`);
}
