"""grpc.health.v1 and server reflection, for which Debian has no Python package: some bytes."""

from .until import PATIENCE

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


def check(channel, service=""):
    """What grpc.health.v1.Health/Check answers: one of the above."""
    name = service.encode()
    request = b"\x0a" + bytes([len(name)]) + name if name else b""
    return channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=PATIENCE)


def watch(channel):
    """Health/Watch of the whole server: a call that yields each change."""
    return channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")


def reflected_services(channel):
    """The answer of server reflection to "list services", as bytes."""
    call = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    return next(call(iter([b"\x3a\x01\x2a"]), timeout=PATIENCE))
