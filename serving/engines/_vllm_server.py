"""The supervisor of a vLLM server: it starts the server, ends it, and writes the spans that the server sends.

``vllm.py`` runs this file as a script with the Python of vLLM's environment; it is never imported. It takes its
options as JSON in ``argv[1]`` and writes the address as one JSON line to standard output when the server is ready. It
ends when the server ends, or when its standard input is closed, so vLLM always ends with the study, even if the study
was killed with SIGKILL. The process group of this process contains vLLM's processes (three or more) and no others.
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
#: ``python -m MODULE``, but first it asks the kernel to send the server SIGTERM if this process dies, for example by
#: SIGKILL (PR_SET_PDEATHSIG, which is 1 in prctl(2) and stays set over exec).
_SERVE = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); "
    "os.execv(sys.executable, [sys.executable, '-m', *sys.argv[1:]])"
)


def main(options: dict[str, Any]) -> int:
    # Nobody reads standard output after the address, so all other output goes to the log.
    parent_output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server(options)
    signal.signal(signal.SIGTERM, lambda *_: server.end())
    threading.Thread(target=server.end_with_parent, daemon=True).start()
    try:
        address = server.start()
        if address is not None:
            first_line = {"address": address, "not_supported": server.not_supported}
            print(json.dumps(first_line), file=parent_output, flush=True)
        return server.wait()
    finally:
        end_group()


class Server:
    """One vLLM server. ``end`` may be called at any time from another thread."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._log = Path(options["log"])
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._ready_once = False
        #: Optional arguments that this version of vLLM does not know.
        self.not_supported: list[str] = list(options["not_supported"])

    def start(self) -> str | None:
        """Start the server and return its address when it answers; None if it ended before."""
        traces = self._options["traces"]
        endpoint = receive_spans(Path(traces), self._options["model"]) if traces else None
        for _ in range(_PORT_TRIES + len(self._options["optional"])):
            port, log_start = free_port(), self._log.stat().st_size
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
            if self._wait_until_ready(port):
                self._ready_once = True
                return f"http://127.0.0.1:{port}"
            if self._ending.is_set() or not self._can_retry(log_start):
                return None
        return None

    def _wait_until_ready(self, port: int) -> bool:
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

    def _can_retry(self, log_start: int) -> bool:
        """Whether the start failed because the port was in use by then, or because of unknown optional flags."""
        with self._log.open("rb") as file:
            file.seek(log_start)
            log_text = file.read().decode(errors="replace")
        unknown = [
            flag
            for line in log_text.splitlines()
            if "error: unrecognized arguments:" in line
            for flag in self._options["optional"]
            if flag in line.split() and flag not in self.not_supported
        ]
        self.not_supported += unknown
        return bool(unknown) or "Address already in use" in log_text

    def wait(self) -> int:
        """Wait until the server has ended, and return its exit code."""
        if self._process is None:
            return 1
        while (code := self._process.poll()) is None:
            if self._ending.wait(_POLL_S):
                if not self._ready_once:
                    return 1  # the server has no requests to finish
                self._process.terminate()
                try:
                    return self._process.wait(self._options["drain_s"])
                except subprocess.TimeoutExpired:
                    return 1  # main() kills the remaining processes
        return code

    def end(self) -> None:
        """Ask the server to finish its running requests and to end."""
        self._ending.set()

    def end_with_parent(self) -> None:
        while os.read(0, 4096):
            pass
        self.end()


def free_port() -> int:
    """A port that no process listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_group() -> None:
    """Send SIGKILL to all other processes in this process's group, and to no process outside it."""
    own, group = os.getpid(), os.getpgid(0)
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int(entry.name) != own and os.getpgid(int(entry.name)) == group:
                os.kill(int(entry.name), signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def receive_spans(path: Path, model: str) -> str:
    """Receive OTLP over HTTP on a loopback port, and append it to ``path`` as OTLP JSON lines.

    Args:
        path: File for the spans.
        model: Name of the model, added to the attributes of the resource.

    Returns:
        The address that vLLM sends its spans to.
    """
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    file_lock = threading.Lock()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            data = MessageToDict(ExportTraceServiceRequest.FromString(body))
            for resource in data.get("resourceSpans", ()):
                attributes = resource.setdefault("resource", {}).setdefault("attributes", [])
                attributes.append({"key": "gen_ai.request.model", "value": {"stringValue": model}})
                for scope in resource.get("scopeSpans", ()):
                    for span in scope.get("spans", ()):
                        with_hexadecimal_ids(span)
            try:
                with file_lock, path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(data, separators=(",", ":")) + "\n")
            except OSError as error:  # a full disk must not end the engine
                print(f"the spans of vLLM could not be written: {error}", file=sys.stderr)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Log nothing: a line for each export would be useless."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1/traces"


def with_hexadecimal_ids(span: dict[str, Any]) -> None:
    """Convert a span's ids from base64, as protobuf's JSON has them, to hexadecimal, as OTLP's JSON needs them.

    See the OTLP specification, "JSON Protobuf Encoding".
    """
    import base64

    for part in (span, *span.get("links", ())):
        for key in ("traceId", "spanId", "parentSpanId"):
            if key in part:
                part[key] = base64.b64decode(part[key]).hex()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
