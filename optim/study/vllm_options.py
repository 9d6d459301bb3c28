"""Which of vLLM's own options a study file may give: all but those that Orkester sets."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from .yaml_source import short

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_LEDGER = "the pool works out memory from engine_options.slots and context_tokens"
_OWN = "Orkester finds a place for the server itself"
_DATA = "every request's numbers come from it"

#: Options that are refused, with the key to use instead, or why there is none.
_RESERVED: Mapping[str, str] = {
    "model": "name models with the key models",
    "model-tag": "name models with the key models",
    "served-model-name": "name models with the key models",
    "max-num-seqs": "use engine_options.slots",
    "max-num-active-seqs": "use engine_options.max_num_active_seqs",
    "max-model-len": "use engine_options.context_tokens",
    "enable-prefix-caching": "use engine_options.prefix_caching",
    "kv-cache-dtype": "use engine_options.kv_cache_dtype",
    "quantization": "use engine_options.quantization",
    "tensor-parallel-size": "use engine_options.tensor_parallel",
    "kv-cache-memory-bytes": _LEDGER,
    "gpu-memory-utilization": _LEDGER,
    "num-gpu-blocks-override": _LEDGER,
    "enable-sleep-mode": "the pool decides which engines sleep",
    "host": _OWN,
    "port": _OWN,
    "uds": _OWN,
    "root-path": _OWN,
    "ssl-keyfile": _OWN,
    "ssl-certfile": _OWN,
    "api-key": "the server listens on this machine alone and needs no key",
    "otlp-traces-endpoint": "Orkester takes vLLM's spans itself",
    "enable-per-request-metrics": _DATA,
    "enable-prompt-tokens-details": _DATA,
    "config": "give its options here, one by one",
}


def _option_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        bare = name.lstrip("-")
        remedy = f"write {bare}" if _NAME.fullmatch(bare) else "such as enforce-eager"
        raise ValueError(f"takes vLLM's option without the leading dashes ({remedy}), but got {name!r}")
    plain = name.replace("_", "-").lower()
    for known in (plain, plain.removeprefix("no-")):
        if known in _RESERVED:
            raise ValueError(f"vLLM's option {known} is not for a study file to give: {_RESERVED[known]}")
    return name


def _option_value(value: object) -> object:
    if isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"takes true or false, a finite number or text, but got {short(value)}")


VllmOptionName: TypeAlias = Annotated[str, AfterValidator(_option_name)]
VllmOptionValue: TypeAlias = Annotated[bool | int | float | str, BeforeValidator(_option_value)]
