/**
 * What a service port speaks (PR-01). `http2` stands for gRPC too; `grpc-web` is gRPC of which browsers may ask in their
 * way (PR-08); `tcp` stands for every opaque protocol; `detect` looks at the first bytes of each connection (PR-02).
 */
export type Protocol = 'http' | 'http2' | 'grpc-web' | 'tcp' | 'tls' | 'udp' | 'detect';

/** Ports whose protocols speak server-first or by themselves: never sniffed (PR-02). */
const NEVER_SNIFFED: ReadonlySet<number> = new Set([25, 53, 3306, 27017]);

const BY_NAME: ReadonlyMap<string, Protocol> = new Map([
  ['http', 'http'],
  ['http2', 'http2'],
  ['grpc', 'http2'],
  ['grpc-web', 'grpc-web'],
  ['kubernetes.io/h2c', 'http2'],
  ['kubernetes.io/ws', 'http'],
  ['kubernetes.io/wss', 'tls'],
  ['https', 'tls'],
  ['tls', 'tls'],
  ['tcp', 'tcp'],
  ['mongo', 'tcp'],
  ['redis', 'tcp'],
  ['mysql', 'tcp'],
  ['postgres', 'tcp'],
  ['postgresql', 'tcp'],
  ['udp', 'udp'],
]);

/**
 * The protocol of a port: `declared` (ServiceEntry `protocol`, Kubernetes `appProtocol`) wins; else the port's name,
 * `proto` or `proto-suffix`; else by sniffing. Case-insensitive; an unknown word counts as not given.
 */
export function protocolOf(declared: string, portName: string, portNumber: number): Protocol {
  return byWord(declared) ?? byPortName(portName) ?? sniffed(portNumber);
}

function byWord(word: string): Protocol | undefined {
  return BY_NAME.get(word.toLowerCase());
}

function byPortName(name: string): Protocol | undefined {
  const lower = name.toLowerCase();
  if (lower === 'grpc-web' || lower.startsWith('grpc-web-')) return 'grpc-web';
  const dash = lower.indexOf('-');
  return BY_NAME.get(dash < 0 ? lower : lower.slice(0, dash));
}

function sniffed(portNumber: number): Protocol {
  return NEVER_SNIFFED.has(portNumber) ? 'tcp' : 'detect';
}

/** Routed request by request. A `detect` port is, as soon as its bytes turn out to be HTTP. */
export function isHttp(protocol: Protocol): boolean {
  return protocol === 'http' || isHttp2(protocol) || protocol === 'detect';
}

/** HTTP/2 with prior knowledge: what the app takes. */
export function isHttp2(protocol: Protocol): boolean {
  return protocol === 'http2' || protocol === 'grpc-web';
}
