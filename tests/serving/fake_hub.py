"""As much of the Hugging Face hub as a download needs."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

COMMIT = "a" * 40


@contextmanager
def hub(repository: str, files: Mapping[str, bytes], *, kind: str = "models") -> Iterator[str]:
    """The address of a hub that has one repository: of a model, or with ``datasets`` of a data set in Parquet."""
    branch = {"models": "main", "datasets": "refs%2Fconvert%2Fparquet"}[kind]
    prefix = "" if kind == "models" else f"/{kind}"
    facts = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
    listed = [
        {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
        for name, content in files.items()
    ]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            answers: dict[str, object] = {
                f"/api/{kind}/{repository}/revision/{branch}": facts,
                f"/api/{kind}/{repository}/revision/{COMMIT}": facts,
                f"/api/{kind}/{repository}/tree/{branch}": listed,
                f"/api/{kind}/{repository}/tree/{COMMIT}": listed,
            }
            name = path.removeprefix(f"{prefix}/{repository}/resolve/{COMMIT}/")
            if path in answers:
                self.reply(200, json.dumps(answers[path]).encode())
            elif name in files:
                tag = hashlib.sha256(files[name]).hexdigest()
                self.reply(200, files[name], {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})
            else:
                self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        do_HEAD = do_GET  # noqa: N815 - http.server's names

        def reply(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
