/** Bytes of a message of the gRPC cases, its prefix apart. */
const PAYLOAD_BYTES = 100;

/** One length-prefixed message: not compressed, four bytes of length, the payload. */
export function grpcMessage(): Buffer {
  const message = Buffer.alloc(5 + PAYLOAD_BYTES, 0x61);
  message[0] = 0;
  message.writeUInt32BE(PAYLOAD_BYTES, 1);
  return message;
}
