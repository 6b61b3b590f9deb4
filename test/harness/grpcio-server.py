"""The methods of grpc-echo-app.ts, served by gRPC's own Python implementation.

    python grpcio-server.py

Prints the port that it listens on at 127.0.0.1, then `cancelled` for each call of `Hang` that ends at its client.
"""

import threading
from concurrent import futures

import grpc


def unary(message, context):
    back = [item for item in context.invocation_metadata() if item.key in ("x-answer", "x-answer-bin")]
    context.send_initial_metadata(back)
    context.set_trailing_metadata(back)
    return message


def collect(messages, _context):
    sizes = [len(message) for message in messages]
    return f"{len(sizes)} {sum(sizes)}".encode()


def stream(ask, _context):
    count, size = map(int, ask.split())
    for _ in range(count):
        yield b"x" * size


def bidi(messages, _context):
    yield from messages


def hang(_message, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    ended.wait(30)
    print("cancelled", flush=True)
    return b""


def flaky(_message, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as always: grüß dich")


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Stream": grpc.unary_stream_rpc_method_handler(stream),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    "Hang": grpc.unary_unary_rpc_method_handler(hang),
    "Flaky": grpc.unary_unary_rpc_method_handler(flaky),
}

server = grpc.server(
    futures.ThreadPoolExecutor(max_workers=8),
    options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", METHODS),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
