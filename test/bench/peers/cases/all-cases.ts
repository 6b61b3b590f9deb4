import type { BenchCase } from './case.ts';
import { h1 } from './h1.ts';

/** In the order in which they are run and reported. */
export const ALL_CASES: readonly BenchCase[] = [h1];
