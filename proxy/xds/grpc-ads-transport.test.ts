import { credentials, Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import { AggregatedDiscoveryServiceService } from '../../proto/gen/envoy/service/discovery/v3/ads.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '../../proto/gen/envoy/service/discovery/v3/discovery.ts';
import { TYPE_CLUSTER } from '../../proto/type-urls.ts';
import { makeAuthority } from '../../test/certificates.ts';
import { grpcServerName } from '../tls/grpc-server-name.ts';
import { type ChannelSettings, GrpcAdsTransport } from './grpc-ads-transport.ts';

type Call = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** An ADS server on loopback; `onCall` answers. */
async function serve(
  onCall: (call: Call) => void,
  channel = ServerCredentials.createInsecure(),
): Promise<string> {
  const server = new Server({ 'grpc.max_send_message_length': -1 });
  server.addService(AggregatedDiscoveryServiceService, {
    deltaAggregatedResources: onCall,
    streamAggregatedResources: (call: Call) => call.end(),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', channel, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  closers.push(() => server.forceShutdown());
  return `127.0.0.1:${port}`;
}

const PLAIN: ChannelSettings = {
  credentials: credentials.createInsecure(),
  channelOptions: {},
  metadata: [['authorization', 'Bearer t']],
};

/** Opens a stream, sends one request and waits for a response or the end. */
function exchange(target: string, settings: ChannelSettings): Promise<string> {
  return new Promise((resolve) => {
    const stream = new GrpcAdsTransport(target, () => settings).open({
      onResponse: async ({ nonce }) => resolve(`nonce ${nonce}`),
      onEnd: (reason) => resolve(`end ${reason}`),
    });
    closers.push(() => stream.close());
    stream.send(DeltaDiscoveryRequest.create({ typeUrl: TYPE_CLUSTER }));
  });
}

test('requests and responses pass, with the call metadata', async () => {
  const target = await serve((call) => {
    call.on('data', (request: DeltaDiscoveryRequest) => {
      const token = String(call.metadata.get('authorization')[0]);
      call.write(DeltaDiscoveryResponse.create({ nonce: `${request.typeUrl} ${token}` }));
    });
    call.on('error', () => {});
  });
  expect(await exchange(target, PLAIN)).toBe(`nonce ${TYPE_CLUSTER} Bearer t`);
});

test('an end of the server and a refusal are told once, with their reason', async () => {
  const ends = await serve((call) => call.end());
  expect(await exchange(ends, PLAIN)).toBe('end the server ended the stream');
  const refuses = await serve((call) => call.emit('error', { code: 16, details: 'who are you?' }));
  expect(await exchange(refuses, PLAIN)).toBe('end UNAUTHENTICATED: who are you?');
  expect(await exchange('127.0.0.1:1', PLAIN)).toContain('end UNAVAILABLE: ');
});

test('rule 18: a response that is too large ends the stream instead of filling the memory', async () => {
  const huge = DeltaDiscoveryResponse.create({ nonce: 'x'.repeat(17 * 1024 * 1024) });
  const target = await serve((call) => {
    call.write(huge);
    call.on('error', () => {});
  });
  expect(await exchange(target, PLAIN)).toContain('end RESOURCE_EXHAUSTED');
});

test('the next response is read only when the one before has been handled', async () => {
  const target = await serve((call) => {
    for (const nonce of ['1', '2']) call.write(DeltaDiscoveryResponse.create({ nonce }));
    call.on('error', () => {});
  });
  const log: string[] = [];
  await new Promise<void>((resolve) => {
    const stream = new GrpcAdsTransport(target, () => PLAIN).open({
      onResponse: async ({ nonce }) => {
        log.push(`begin ${nonce}`);
        for (let turn = 0; turn < 5; turn++) await new Promise((done) => setImmediate(done));
        log.push(`end ${nonce}`);
        if (nonce === '2') resolve();
      },
      onEnd: () => resolve(),
    });
    closers.push(() => stream.close());
  });
  expect(log).toEqual(['begin 1', 'end 1', 'begin 2', 'end 2']);
});

test('[A4.6] the server is verified by its address against the root; another root or address is refused', async () => {
  const [authority, other] = await Promise.all([makeAuthority(), makeAuthority('other')]);
  const answered: string[] = [];
  const secure = async (ip: string) => {
    const { certificateChainPem, privateKeyPem } = await authority.issue({ ip: [ip] });
    const pair = {
      cert_chain: Buffer.from(certificateChainPem),
      private_key: Buffer.from(privateKeyPem),
    };
    return serve(
      (call) => {
        answered.push(String(call.metadata.get('authorization')[0]));
        call.write(DeltaDiscoveryResponse.create({ nonce: '1' }));
        call.on('error', () => {});
      },
      ServerCredentials.createSsl(null, [pair]),
    );
  };
  const trusting = (target: string, rootPem: string): ChannelSettings => {
    const { channelOptions, verifyOptions } = grpcServerName(target, '');
    const channel = credentials.createSsl(Buffer.from(rootPem), null, null, verifyOptions);
    return { credentials: channel, channelOptions, metadata: PLAIN.metadata };
  };
  const right = await secure('127.0.0.1');
  expect(await exchange(right, trusting(right, other.certificatePem))).toContain('end UNAVAILABLE');
  const wrongAddress = await secure('127.0.0.2');
  expect(await exchange(wrongAddress, trusting(wrongAddress, authority.certificatePem))).toContain(
    "IP: 127.0.0.1 is not in the cert's list",
  );
  expect(answered).toEqual([]);
  expect(await exchange(right, trusting(right, authority.certificatePem))).toBe('nonce 1');
  expect(answered).toEqual(['Bearer t']);
});
