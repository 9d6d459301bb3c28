"""The supervisor of a vLLM server: starts it, ends it with its parent, and keeps the spans it sends.

Run by ``_vllm.py`` as a script with the Python of vLLM's environment, never imported. It takes its options as JSON in
``argv[1]``, writes the address as one JSON line to standard output when the server is ready, and ends with the server,
or when its standard input closes: so vLLM cannot outlive the study, not even one that was killed with SIGKILL. vLLM's
three or more processes are in this process's group, and nothing else is.
"""

import http.client
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_POLL_S = 0.1
_PORT_TRIES = 3
#: ``python -m MODULE``, after asking the kernel for a SIGTERM should we be killed with SIGKILL (PR_SET_PDEATHSIG, 1 in
#: prctl(2), stays set over exec).
_SERVE = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); "
    "os.execv(sys.executable, [sys.executable, '-m', *sys.argv[1:]])"
)


def main(options: dict[str, Any]) -> int:
    # Nobody reads standard output after the address: what else is printed there goes to the log.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server(options)
    signal.signal(signal.SIGTERM, lambda *_: server.end())
    threading.Thread(target=server.end_with_parent, daemon=True).start()
    try:
        address = server.start()
        if address is not None:
            said = {"address": address, "not_supported": server.not_supported}
            print(json.dumps(said), file=told, flush=True)
        return server.wait()
    finally:
        end_group()


class Server:
    """One vLLM server. ``end`` may come at any time, from another thread."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._log = Path(options["log"])
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._answers = False
        #: Arguments that this version of vLLM does not know and can do without.
        self.not_supported: list[str] = list(options["not_supported"])

    def start(self) -> str | None:
        """The address once it answers; None when it ended before."""
        traces = self._options["traces"]
        endpoint = receive_spans(Path(traces), self._options["model"]) if traces else None
        for _ in range(_PORT_TRIES + len(self._options["optional"])):
            port, log_begins = free_port(), self._log.stat().st_size
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-c", _SERVE, "vllm.entrypoints.openai.api_server"),
                    *("--host", "127.0.0.1", "--port", str(port)),
                    *(("--otlp-traces-endpoint", endpoint) if endpoint else ()),
                    *self._options["arguments"],
                    *(flag for flag in self._options["optional"] if flag not in self.not_supported),
                ],
                stdin=subprocess.DEVNULL,
            )
            if self._ready(port):
                self._answers = True
                return f"http://127.0.0.1:{port}"
            if self._ending.is_set() or not self._may_try_again(log_begins):
                return None
        return None

    def _ready(self, port: int) -> bool:
        assert self._process is not None
        while self._process.poll() is None and not self._ending.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().status == http.HTTPStatus.OK:
                    return True
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(_POLL_S)
        return False

    def _may_try_again(self, log_begins: int) -> bool:
        """Whether it failed for a port that was taken meanwhile, or for flags that it does not know."""
        with self._log.open("rb") as file:
            file.seek(log_begins)
            said = file.read().decode(errors="replace")
        unknown = [
            flag
            for line in said.splitlines()
            if "error: unrecognized arguments:" in line
            for flag in self._options["optional"]
            if flag in line.split() and flag not in self.not_supported
        ]
        self.not_supported += unknown
        return bool(unknown) or "Address already in use" in said

    def wait(self) -> int:
        """Until it has ended; its exit code."""
        if self._process is None:
            return 1
        while (code := self._process.poll()) is None:
            if self._ending.wait(_POLL_S):
                if not self._answers:
                    return 1  # nothing can be under way that is worth a wait
                self._process.terminate()
                try:
                    return self._process.wait(self._options["drain_s"])
                except subprocess.TimeoutExpired:
                    return 1  # main ends what is left
        return code

    def end(self) -> None:
        """Ask it to finish what is under way, and to end."""
        self._ending.set()

    def end_with_parent(self) -> None:
        while os.read(0, 4096):
            pass
        self.end()


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_group() -> None:
    """SIGKILL to whatever else is left in our process group, and nothing beyond it."""
    own, group = os.getpid(), os.getpgid(0)
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int(entry.name) != own and os.getpgid(int(entry.name)) == group:
                os.kill(int(entry.name), signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def receive_spans(path: Path, model: str) -> str:
    """Take OTLP over HTTP on a loopback port and append it to ``path`` as OTLP JSON lines; the address to send to."""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    writing = threading.Lock()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            data = MessageToDict(ExportTraceServiceRequest.FromString(body))
            for resource in data.get("resourceSpans", ()):
                about = resource.setdefault("resource", {}).setdefault("attributes", [])
                about.append({"key": "gen_ai.request.model", "value": {"stringValue": model}})
                for scope in resource.get("scopeSpans", ()):
                    for span in scope.get("spans", ()):
                        with_hexadecimal_ids(span)
            try:
                with writing, path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(data, separators=(",", ":")) + "\n")
            except OSError as error:  # a full disk must not take the engine along
                print(f"the spans of vLLM could not be written: {error}", file=sys.stderr)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """A line for each export is no use to anybody."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1/traces"


def with_hexadecimal_ids(span: dict[str, Any]) -> None:
    """OTLP's JSON has ids in hexadecimal, protobuf's in base64 (OTLP specification, "JSON Protobuf Encoding")."""
    import base64

    for part in (span, *span.get("links", ())):
        for key in ("traceId", "spanId", "parentSpanId"):
            if key in part:
                part[key] = base64.b64decode(part[key]).hex()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
