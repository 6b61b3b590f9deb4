import { Client, credentials } from '@grpc/grpc-js';
import { register } from '@grpc/grpc-js-xds';

/**
 * A stock gRPC client of its own process: calls `xds:///<target>` again and again, and prints one line for each
 * answer (who answered) or failure (its code). Its whole configuration is `GRPC_XDS_BOOTSTRAP_CONFIG`.
 */
register();
const [target, pauseMs] = process.argv.slice(2);
const client = new Client(`xds:///${target}`, credentials.createInsecure());
const identity = (bytes: Buffer): Buffer => bytes;

function call(): void {
  const deadline = Date.now() + 10_000;
  client.makeUnaryRequest(
    '/weft.test.Echo/Who',
    identity,
    identity,
    Buffer.alloc(0),
    { deadline },
    (error, answer) => {
      process.stdout.write(`${error === null ? String(answer) : `error ${error.code}`}\n`);
      setTimeout(call, Number(pauseMs));
    },
  );
}
call();
