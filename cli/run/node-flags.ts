/**
 * What Node.js is started with for a sidecar, here, in `./weft` and in the image (a test holds them equal). V8's young
 * generation of 4 MiB a half: it is collected before the buffers that sockets were read into make it collect
 * everything (64 KiB bodies: 41 µs a request in place of 75, below nginx), and does not grow to 32 MiB under load.
 */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=4'];
