import type { BenchCase } from './case.ts';
import { connections } from './connections.ts';
import { controlPlane } from './control-plane.ts';
import { features } from './features.ts';
import { grpc, pairGrpc } from './grpc.ts';
import { h1 } from './h1.ts';
import { h2 } from './h2.ts';
import { idle } from './idle.ts';
import { latency } from './latency.ts';
import { pair } from './pair.ts';
import { scale } from './scale.ts';
import { tcp } from './tcp.ts';

/** In the order in which they are run and reported. */
export const ALL_CASES: readonly BenchCase[] = [
  h1,
  h2,
  grpc,
  pair,
  pairGrpc,
  tcp,
  connections,
  latency,
  idle,
  scale,
  features,
  controlPlane,
];
