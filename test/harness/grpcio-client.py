"""Calls grpc-echo-app.ts by gRPC's own Python implementation, which shares no code with grpc-js.

    python grpcio-client.py TARGET AUTHORITY CHECK...

Prints `NAME ok` or `NAME failed: WHY` for each check. AUTHORITY may be empty.
"""

import sys
import threading
import time

import grpc

target, authority, *checks = sys.argv[1:]
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # What the server says is to be seen, not what a second try gives.
    ("grpc.enable_retries", 0),
]
if authority:
    OPTIONS.append(("grpc.default_authority", authority))


def connect(*more):
    # Of its own: channels to one target otherwise share a connection.
    return grpc.insecure_channel(
        target, options=[*OPTIONS, ("grpc.use_local_subchannel_pool", 1), *more]
    )


channel = connect()


def same(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r} is not {wanted!r}")


def fails(code, call):
    try:
        call()
    except grpc.RpcError as error:
        same(error.code(), code)
        return error
    except grpc.FutureCancelledError:
        same(grpc.StatusCode.CANCELLED, code)
        return None
    raise AssertionError(f"no {code}")


def unary(name, on=channel):
    return on.unary_unary(f"/test.Echo/{name}")


def metadata():
    sent = (("x-answer", "text"), ("x-answer-bin", bytes([0, 1, 254, 255])))
    answer, call = unary("Unary").with_call(b"hello", metadata=sent, timeout=10)
    same(answer, b"hello")
    for side in (call.initial_metadata(), call.trailing_metadata()):
        found = {item.key: item.value for item in side}
        same((found.get("x-answer"), found.get("x-answer-bin")), (sent[0][1], sent[1][1]))


def client_stream():
    collect = channel.stream_unary("/test.Echo/Collect")
    same(collect((bytes(10) for _ in range(1000)), timeout=20), b"1000 10000")
    same(collect(iter(()), timeout=10), b"0 0")


def server_stream():
    messages = list(channel.unary_stream("/test.Echo/Stream")(b"10000 50", timeout=20))
    same((len(messages), {len(message) for message in messages}), (10000, {50}))


def bidi():
    """Each question is asked when the one before is answered."""
    answered = threading.Semaphore(1)

    def questions():
        for turn in range(50):
            answered.acquire()
            yield f"turn {turn}".encode()

    answers = []
    for answer in channel.stream_stream("/test.Echo/Bidi")(questions(), timeout=20):
        answers.append(answer)
        answered.release()
    same(answers, [f"turn {turn}".encode() for turn in range(50)])


def large():
    message = bytes(range(256)) * (4 * 4096)
    same(len(message), 4 * 1024 * 1024)
    if unary("Unary")(message, timeout=20) != message:
        raise AssertionError("other bytes")


def cancel():
    call = unary("Hang").future(b"x")
    # On its way before it is cancelled: a later call on the connection has been answered.
    unary("Unary")(b"x", timeout=10)
    call.cancel()
    fails(grpc.StatusCode.CANCELLED, call.result)
    stream = channel.unary_stream("/test.Echo/Stream")(b"100000 1000")
    next(stream)
    stream.cancel()
    fails(grpc.StatusCode.CANCELLED, lambda: list(stream))


def deadline():
    began = time.monotonic()
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: unary("Hang")(b"x", timeout=0.3))
    if time.monotonic() - began > 5:
        raise AssertionError("late")


def status():
    error = fails(grpc.StatusCode.UNIMPLEMENTED, lambda: unary("Unknown")(b"x", timeout=10))
    if not error.details():
        raise AssertionError("no details")


def many():
    calls = [unary("Unary").future(str(number).encode(), timeout=20) for number in range(500)]
    for number, call in enumerate(calls):
        same(call.result(), str(number).encode())


def keepalive():
    """PINGs every 100 ms for two seconds, with a call and without, on a connection that stays."""
    pinging = connect(
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_timeout_ms", 5000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )
    states = []
    pinging.subscribe(states.append)
    same(unary("Unary", pinging)(b"x", timeout=10, wait_for_ready=True), b"x")
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: unary("Hang", pinging)(b"x", timeout=1))
    time.sleep(1)
    same(unary("Unary", pinging)(b"y", timeout=10), b"y")
    after = states[states.index(grpc.ChannelConnectivity.READY) :]
    same(after, [grpc.ChannelConnectivity.READY])
    pinging.close()


def wait_for_ready():
    print("waiting", flush=True)
    same(unary("Unary")(b"x", timeout=25, wait_for_ready=True), b"x")


for name in checks:
    try:
        globals()[name]()
        print(f"{name} ok", flush=True)
    except Exception as error:  # pylint: disable=broad-except
        print(f"{name} failed: {error!r}", flush=True)
channel.close()
