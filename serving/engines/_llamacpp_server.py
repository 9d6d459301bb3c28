"""The child process of the llama.cpp engine: one model behind llama.cpp's own OpenAI-compatible server.

``llamacpp.py`` runs this file as a script; it is never imported. It takes its options as JSON in ``argv[1]`` and writes
its address as one JSON line to standard output. It ends when its standard input is closed, so it always ends with the
study, even if the study was killed with SIGKILL. llama.cpp logs to standard error, which the parent sends to a file.
"""

import json
import os
import sys
import threading
from typing import Any


def main(options: dict[str, Any]) -> None:
    # Nobody reads standard output after the address, so all other output goes to the log.
    parent_output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def end_with_parent() -> None:
        while os.read(0, 4096):  # sys.stdin is not used, because its lock would turn a failed start into a crash
            pass
        os._exit(0)  # there is no other way to end llama.cpp's server thread

    threading.Thread(target=end_with_parent, daemon=True).start()

    # libgomp reads this variable when it is loaded. By default its threads spin while they wait. On cores that other
    # processes use too, spinning threads run at a fortieth of their speed, and the spinning would count as energy.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options["weights"]
    params.model_alias = {options["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = options["context_tokens"] * options["slots"]  # llama.cpp divides n_ctx among its slots
    params.n_parallel = options["slots"]
    params.cpuparams.n_threads = options["threads"]
    params.cpuparams_batch.n_threads = options["threads"]
    params.cache_prompt = options["prefix_caching"]
    params.endpoint_metrics = True
    params.ui = False
    params.warmup = True
    params.verbosity = 2  # warnings; level 3 logs about six lines per request
    if options["chat_template"]:
        params.chat_template = options["chat_template"]
        params.use_jinja = True
    server = xllamacpp.Server(params)
    print(json.dumps({"address": server.listening_address}), file=parent_output, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
