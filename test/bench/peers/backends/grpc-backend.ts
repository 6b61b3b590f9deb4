import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from '../bench.ts';
import type { H2Load } from '../load/h2load.ts';
import { grpcMessage } from './grpc-message.ts';

export interface GrpcBackend {
  readonly port: number;
  /** How h2load calls `/unary` or `/stream/<messages>` at `port`. */
  call(
    port: number,
    path: string,
    messages: number,
    shape: Pick<H2Load, 'connections' | 'streams'>,
  ): H2Load;
}

export async function startGrpcBackend(bench: Bench): Promise<GrpcBackend> {
  const bodyFile = join(bench.directory, 'request.grpc');
  writeFileSync(bodyFile, grpcMessage());
  const program = join(import.meta.dirname, 'grpc-server.ts');
  const server = bench.startBeside(process.execPath, [program]);
  const [, port] = await server.seen(/listening (\d+)/);
  return {
    port: Number(port),
    call: (port, path, messages, shape) => ({
      url: `http://127.0.0.1:${port}${path}`,
      ...shape,
      bodyFile,
      headers: ['content-type: application/grpc', 'te: trailers'],
      answerBytesMin: grpcMessage().length * messages,
    }),
  };
}
