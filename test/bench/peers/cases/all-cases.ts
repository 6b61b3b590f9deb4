import type { BenchCase } from './case.ts';
import { grpc, pairGrpc } from './grpc.ts';
import { h1 } from './h1.ts';
import { h2 } from './h2.ts';
import { pair } from './pair.ts';

/** In the order in which they are run and reported. */
export const ALL_CASES: readonly BenchCase[] = [h1, h2, grpc, pair, pairGrpc];
