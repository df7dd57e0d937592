"""Clients of the API. The stubs are generated from proto/ when this is first imported."""

import os
import shutil
import subprocess
import sys
import threading
import uuid

# The tests start processes beside channels that are open; nothing is called in a forked child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc  # noqa: E402

from .gateway import ROOT, temporary_folder  # noqa: E402
from .until import PATIENCE  # noqa: E402

PROTOS = ("google/rpc/status", "google/rpc/error_details", "vigil/v1/common", "vigil/v1/media",
          "vigil/v1/node")


def _generate():
    folder = str(temporary_folder())
    plugin = shutil.which("grpc_python_plugin")
    if plugin is None:
        raise RuntimeError("grpc_python_plugin is missing: Debian's protobuf-compiler-grpc")
    subprocess.run(
        ["protoc", f"-I{ROOT / 'proto'}", f"--plugin=protoc-gen-grpc_python={plugin}",
         f"--python_out={folder}", f"--grpc_python_out={folder}",
         *(f"{proto}.proto" for proto in PROTOS)], check=True)
    sys.path.insert(0, folder)
    # Debian's google.protobuf and the generated google.rpc are parts of one package.
    import google
    google.__path__.append(os.path.join(folder, "google"))
    return folder


# Where the stubs are, for other processes.
STUBS = _generate()

from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from vigil.v1 import common_pb2, media_pb2, media_pb2_grpc, node_pb2, node_pb2_grpc  # noqa: E402

DETAILS = "grpc-status-details-bin"
SERVICES = {"MediaService": (media_pb2, media_pb2_grpc), "NodeService": (node_pb2, node_pb2_grpc)}
MODULES = {method.name: service for service, (messages, _) in SERVICES.items()
           for method in messages.DESCRIPTOR.services_by_name[service].methods}


def request_id():
    return str(uuid.uuid4())


class Refused(Exception):
    """A call that failed, with the reason of its google.rpc.ErrorInfo."""

    def __init__(self, error):
        self.code = error.code()
        self.message = error.details()
        self.reason = None
        self.domain = None
        self.metadata = {}
        self.retry_seconds = None
        details = dict(error.trailing_metadata() or ()).get(DETAILS)
        self.details = details or b""
        status = status_pb2.Status.FromString(self.details)
        self.status_code = status.code
        for detail in status.details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                self.reason, self.domain = info.reason, info.domain
                self.metadata = dict(info.metadata)
            if detail.Unpack(retry):
                self.retry_seconds = retry.retry_delay.seconds
        super().__init__(f"{self.code}: {self.reason}: {self.message} {self.metadata}")


def is_served(client):
    """Whether a call of this client is answered."""
    try:
        client.call("ListFeeds")
        return True
    except Refused:
        return False


class Client:
    """A channel with a token. `credentials`: None for plain text; `options`: of the channel."""

    def __init__(self, target, token="", credentials=None, options=()):
        # Channels of equal arguments would share a connection, and with it its limits.
        options = [("grpc.use_local_subchannel_pool", 1), *options]
        self.channel = (grpc.insecure_channel(target, options) if credentials is None
                        else grpc.secure_channel(target, credentials, options))
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        self._stubs = {service: getattr(stubs, f"{service}Stub")(self.channel)
                       for service, (_, stubs) in SERVICES.items()}

    def method(self, name):
        """The callable of a method, for what call() does not do."""
        return getattr(self._stubs[MODULES[name]], name)

    @staticmethod
    def request(name, **fields):
        return getattr(SERVICES[MODULES[name]][0], f"{name}Request")(**fields)

    def call(self, name, **fields):
        """Calls a unary method with these fields; raises Refused."""
        return self.send(name, self.request(name, **fields))

    def send(self, name, message, timeout=PATIENCE):
        try:
            return self.method(name)(message, timeout=timeout, metadata=self.metadata)
        except grpc.RpcError as error:
            raise Refused(error) from None

    def watch(self, **fields):
        return Watch(self, media_pb2.WatchMediaRequest(**fields))

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()


class Watch:
    """A WatchMedia stream that is read by a thread of its own."""

    def __init__(self, client, request):
        self._changed = threading.Condition()
        self.messages = []
        self.error = None  # Refused, if it ended so.
        self.ended = False
        self._call = client.method("WatchMedia")(request, metadata=client.metadata)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        error = None
        try:
            for message in self._call:
                with self._changed:
                    self.messages.append(message)
                    self._changed.notify_all()
        except grpc.RpcError as failed:
            error = Refused(failed)
        with self._changed:
            self.error = error
            self.ended = True
            self._changed.notify_all()

    def until(self, what, condition):
        """Waits until `condition(messages)` is true, and returns what it said."""
        with self._changed:
            found = self._changed.wait_for(lambda: condition(self.messages) or self.ended, PATIENCE)
            result = condition(self.messages)
            if not result:
                raise TimeoutError(f"{what}: {'ended' if found else 'not in time'}: {self.error}")
            return result

    def until_snapshot(self):
        self.until("the snapshot", lambda all_: any(
            m.HasField("snapshot") and not m.snapshot.partial for m in all_))
        return self

    def until_event(self, what, condition):
        """Waits for an event for which `condition(event)` is true, and returns its message."""
        return self.until(what, lambda all_: next(
            (m for m in all_ if m.HasField("event") and condition(m.event)), None))

    def until_end(self):
        with self._changed:
            if not self._changed.wait_for(lambda: self.ended, PATIENCE):
                raise TimeoutError("the stream does not end")
        return self.error

    @property
    def events(self):
        return [m.event for m in self.messages if m.HasField("event")]

    def cancel(self):
        self._call.cancel()
        self._thread.join(PATIENCE)
