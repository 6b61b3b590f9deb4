/**
 * What Node.js is started with for a sidecar, here, in `./weft` and in the image (a test holds them equal). Figures are of
 * CPU time a request.
 *
 * - V8's young generation of 4 MiB a half: it is collected before the buffers that sockets were read into make it collect
 *   everything (64 KiB bodies: 41 µs in place of 75, below nginx), and does not grow to 32 MiB under load. From 2 MiB on:
 *   half the collections, for 1 MiB of memory.
 * - Collected by one thread: a young generation this small is done before the helpers of four threads have woken up, which
 *   were a sixth of all context switches of a busy sidecar (together with the line above 1 to 2 %).
 * - Larger functions inlined: the path of a request is a hundred small ones (2 %).
 */
export const NODE_FLAGS: readonly string[] = [
  '--max-semi-space-size=4',
  '--min-semi-space-size=2',
  '--no-parallel-scavenge',
  '--max-inlined-bytecode-size=1500',
  '--max-inlined-bytecode-size-cumulative=2500',
];
