"""The child process of the llama.cpp engine: one model behind llama.cpp's own OpenAI-compatible server.

Run by ``llamacpp.py`` as a script, never imported. It takes its options as JSON in ``argv[1]``, writes the address it
listens on as one JSON line to standard output, and ends when its standard input closes: so it cannot outlive the
study, not even one that was killed with SIGKILL. llama.cpp logs to standard error, which the parent sends to a file.
"""

import json
import os
import sys
import threading
from typing import Any


def main(options: dict[str, Any]) -> None:
    # Nobody reads standard output after the address: what else is printed there goes to the log.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def end_with_parent() -> None:
        while os.read(0, 4096):  # not sys.stdin, whose lock would turn a failed start into a crash
            pass
        os._exit(0)  # llama.cpp's server thread has no other way out

    threading.Thread(target=end_with_parent, daemon=True).start()

    # Read by libgomp when it is loaded. Threads that spin while they wait fall to a fortieth of their speed on cores
    # that others use too, and their spinning would be counted as energy.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
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
    print(json.dumps({"address": server.listening_address}), file=told, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
