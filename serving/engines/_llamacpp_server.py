"""The child process of the llama.cpp engine: one model behind llama.cpp's own OpenAI-compatible server.

Run by ``_llamacpp.py`` as a script, never imported. It takes its options as JSON in ``argv[1]``, writes the address it
listens on as one JSON line to standard output, and ends when its standard input closes: so it cannot outlive the
study, not even one that was killed with SIGKILL. llama.cpp logs to standard error, which the parent sends to a file.
"""

import json
import os
import sys
import threading
from typing import Any


def main(options: dict[str, Any]) -> None:
    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        os._exit(0)  # llama.cpp's server thread has no other way out

    threading.Thread(target=end_with_parent, daemon=True).start()

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options["weights"]
    params.model_alias = {options["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = options["context_tokens"] * options["slots"]  # llama.cpp shares n_ctx among its slots
    params.n_parallel = options["slots"]
    params.cpuparams.n_threads = options["threads"]
    params.cpuparams_batch.n_threads = options["threads"]
    params.cache_prompt = options["prefix_caching"]
    params.endpoint_metrics = True
    params.ui = False
    params.warmup = True
    params.verbosity = 2  # warnings; 3 logs half a dozen lines a request
    if options["chat_template"]:
        params.chat_template = options["chat_template"]
        params.use_jinja = True
    server = xllamacpp.Server(params)
    print(json.dumps({"address": server.listening_address}), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
