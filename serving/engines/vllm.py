"""The vLLM engine: vLLM runs in its own Python environment and in its own processes."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from orkester.errors import EngineError

from ..catalogue import Model
from ..environments import VllmEnvironment
from . import _probe, _prometheus
from ._base import Endpoint, EngineMetrics, EngineOptions, EnginePlugin, Footprint
from ._child import ChildServer, log_tail
from ._model_config import ModelConfig, read_model_config
from ._stale import RunningEngines, processes_of_group
from ._template import with_bos_token

Value: TypeAlias = bool | int | float | str

_SERVER = Path(__file__).with_name("_vllm_server.py")
#: Enough for the imports, weights, compilation and graph capture of a large model on a busy machine.
_START_TIMEOUT_S = 900.0
_DRAIN_S = 15.0
_CONTROL_TIMEOUT_S = 120.0
_HEALTH_TIMEOUT_S = 20.0
#: The memory of vLLM's processes without weights and cache. For the CPU it is a little more than the measured value
#: (three processes with PyTorch share pages and need 1.6 GB together). For a GPU it is an upper bound for CUDA's
#: context, CUDA's graphs, and the intermediate results of the largest step.
_HOST_OVERHEAD_BYTES = 2 * 2**30
_DEVICE_OVERHEAD_BYTES = 3 * 2**30
#: vLLM keeps tokens in blocks. This is the largest block size in use (128 on the CPU, 16 or more on GPUs).
_BLOCK_TOKENS = 128


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """The GPU that the engines share.

    Attributes:
        memory_bytes: The memory of each device.
    """

    memory_bytes: int


class VllmEngine:
    """Serves a folder in Hugging Face's layout with vLLM.

    Args:
        environment: The Python environment with vLLM.
        accelerator: The GPU; None for vLLM's CPU build.
        running: The folder with the records of running engines. The records are used to find engines that a killed
            study left behind.
        options: vLLM's own options, by name without leading dashes. They override the options that Orkester sets.
        traces: The folder for vLLM's spans, in ``vllm-NAME.jsonl``; None to record no spans.
    """

    def __init__(
        self,
        environment: VllmEnvironment,
        *,
        accelerator: Accelerator | None,
        running: Path,
        options: Mapping[str, Value] | None = None,
        traces: Path | None = None,
    ) -> None:
        self._environment = environment
        self._accelerator = accelerator
        self._running = RunningEngines(running)
        self._options = dict(options or {})
        self._traces = traces
        self._child: ChildServer | None = None
        self._endpoint: Endpoint | None = None
        self._not_supported: tuple[str, ...] = ()

    def footprint(self, model: Model, weights: Path | None, options: EngineOptions) -> Footprint:
        """Estimate the memory for the weights, for a cache with the longest request in every slot, and for vLLM itself.

        See ``Engine.footprint``.
        """
        config = read_model_config(_folder(model, weights))
        parts = {
            "weights": config.weights_bytes // options.tensor_parallel,
            "key-value cache": _kv_bytes(config, options),
            "vLLM itself": _DEVICE_OVERHEAD_BYTES if self._accelerator else _HOST_OVERHEAD_BYTES,
        }
        total = sum(parts.values())
        if self._accelerator is None:
            return Footprint(host_bytes=total, parts=parts)
        # While vLLM sleeps, the weights are in the host's memory and CUDA's context stays (vLLM, "Sleep Mode", level
        # 1).
        return Footprint(
            device_bytes=total,
            host_bytes=_HOST_OVERHEAD_BYTES,
            asleep_device_bytes=_DEVICE_OVERHEAD_BYTES // 2,
            asleep_host_bytes=_HOST_OVERHEAD_BYTES + config.weights_bytes,
            parts=parts,
        )

    async def start(self, model: Model, weights: Path | None, options: EngineOptions, log: Path) -> Endpoint:
        """See ``Engine.start``. Engines that a killed study left behind are ended before the start."""
        folder = _folder(model, weights)
        config = read_model_config(folder)
        self._running.end_stale()
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        timeout_s = options.start_timeout_s or _START_TIMEOUT_S
        child = self._child = ChildServer(f"vLLM with {model.name}")
        starting = asyncio.create_task(self._start(child, model, folder, config, options, log, timeout_s))
        try:
            while not starting.done():
                await asyncio.wait({starting}, timeout=1.0)
                if child.pid is not None and not starting.done():
                    self._running.record(child.pid)
            first_line = await starting
            base_url = f"{first_line['address']}/v1"
            await _probe.first_reply(base_url, model.name, timeout_s=timeout_s)
            await _probe.warm_up(base_url, model.name, requests=options.slots, timeout_s=timeout_s)
        except BaseException as error:
            starting.cancel()
            await asyncio.wait({starting})
            await self.stop()
            if isinstance(error, EngineError):
                raise EngineError(_with_reason(error, log)) from error
            raise
        assert child.pid is not None
        self._running.record(child.pid)
        self._not_supported = tuple(first_line["not_supported"])
        self._endpoint = Endpoint(
            base_url=base_url,
            model=model.name,
            pids=tuple(each.pid for each in processes_of_group(child.pid)),
            # vLLM's CPU build crashes when a request has a seed and its prompt is prefilled in several chunks.
            takes_seed=self._environment.build != "cpu",
            facts={
                "engine": "vllm",
                "version": f"vllm {self._environment.version} ({self._environment.build})",
                "weights": "dummy" if self._options.get("load-format") == "dummy" else folder.name,
                "weights_bytes": config.weights_bytes,
                "weights_sha256": model.sha256,
                "slots": options.slots,
                "context_tokens": _context_tokens(config, options),
                "threads": options.threads,
                "prefix_caching": options.prefix_caching,
                "max_num_active_seqs": options.max_num_active_seqs or options.slots,
                "kv_cache_dtype": options.kv_cache_dtype,
                "quantization": options.quantization,
                "tensor_parallel": options.tensor_parallel,
                "vllm_options": dict(self._options),
                **({"not_supported": list(self._not_supported)} if self._not_supported else {}),
            },
        )
        return self._endpoint

    async def _start(
        self,
        child: ChildServer,
        model: Model,
        folder: Path,
        config: ModelConfig,
        options: EngineOptions,
        log: Path,
        timeout_s: float,
    ) -> Mapping[str, Any]:
        return await child.start(
            [str(_SERVER)],
            {
                "model": model.name,
                "log": str(log),
                "traces": str(self._traces / f"vllm-{log.stem}.jsonl") if self._traces else None,
                "drain_s": _DRAIN_S,
                "arguments": self._arguments(model, folder, config, options, log),
                "optional": _OPTIONAL,
                "not_supported": list(self._not_supported),
            },
            log=log,
            timeout_s=timeout_s,
            python=self._environment.python,
            environment=self._variables(options),
        )

    def _arguments(
        self, model: Model, folder: Path, config: ModelConfig, options: EngineOptions, log: Path
    ) -> list[str]:
        chosen: dict[str, Value] = {
            "model": str(folder),
            "served-model-name": model.name,
            "max-model-len": _context_tokens(config, options),
            "max-num-seqs": options.slots,
            "enable-prefix-caching": options.prefix_caching,
            "kv-cache-memory-bytes": _kv_bytes(config, options),
            "generation-config": "vllm",  # the request alone decides the sampling, not the model's generation_config
            "disable-uvicorn-access-log": True,
        }
        if options.max_num_active_seqs is not None:
            chosen["max-num-active-seqs"] = options.max_num_active_seqs
        if options.kv_cache_dtype != "auto":
            chosen["kv-cache-dtype"] = options.kv_cache_dtype
        if options.quantization is not None:
            chosen["quantization"] = options.quantization
        if options.tensor_parallel != 1:
            chosen["tensor-parallel-size"] = options.tensor_parallel
        if model.chat_template:
            template = log.with_suffix(".jinja")
            template.write_text(with_bos_token(model.chat_template, folder), encoding="utf-8")
            chosen["chat-template"] = str(template)
        if self._accelerator is None:
            # For models that a CPU can serve, compilation takes more time than it saves.
            chosen["enforce-eager"] = True
        else:
            chosen["enable-sleep-mode"] = True
            # vLLM checks that this share of the memory is free, even if the size of the cache is given.
            needed = self.footprint(model, folder, options).device_bytes
            chosen["gpu-memory-utilization"] = min(0.98, round(needed / self._accelerator.memory_bytes + 0.005, 3))
        return [text for name, value in {**chosen, **self._options}.items() for text in _flag(name, value)]

    def _variables(self, options: EngineOptions) -> dict[str, str]:
        variables = {
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_SERVER_DEV_MODE": "1",  # for sleep, wake and cache reset; the server listens on loopback only
            "OTEL_SERVICE_NAME": "vllm",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            "OTEL_BSP_SCHEDULE_DELAY": "1000",
        }
        if self._accelerator is None and options.threads and hasattr(os, "sched_getaffinity"):
            cores = sorted(os.sched_getaffinity(0))[: options.threads]
            variables["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(str(core) for core in cores)
        return variables

    async def stop(self) -> None:
        """See ``Engine.stop``."""
        child, self._child, self._endpoint = self._child, None, None
        if child is not None:
            pid = child.pid
            await child.stop(drain_s=_DRAIN_S + 5)
            if pid is not None:
                self._running.end(pid)

    def alive(self) -> bool:
        """See ``Engine.alive``."""
        return self._child is not None and self._child.alive()

    async def healthy(self) -> bool:
        """Whether vLLM answers a request for one token."""
        if self._endpoint is None or not self.alive():
            return False
        try:
            await _probe.first_reply(self._endpoint.base_url, self._endpoint.model, timeout_s=_HEALTH_TIMEOUT_S)
        except EngineError:
            return False
        return True

    async def sleep(self) -> None:
        """Put vLLM to sleep at level 1: the weights move to the host's memory, and the prefix cache is emptied."""
        await self._control("POST", "/sleep?level=1&mode=wait")

    async def wake(self) -> None:
        """See ``Engine.wake``."""
        await self._control("POST", "/wake_up")

    async def reset_prefix_cache(self) -> bool:
        """See ``Engine.reset_prefix_cache``."""
        await self._control("POST", "/reset_prefix_cache")
        return True

    async def metrics(self) -> EngineMetrics | None:
        """Read the load from vLLM's Prometheus page."""
        return _prometheus.parse(await self._control("GET", "/metrics"))

    async def _control(self, method: str, path: str) -> str:
        if self._endpoint is None:
            raise EngineError("vLLM is not running")
        return await _probe.send_request(
            method, self._endpoint.base_url.removesuffix("/v1") + path, timeout_s=_CONTROL_TIMEOUT_S
        )


#: What vLLM's processes put before their log lines: the process, and for errors the time and the place in the code.
_LOG_PREFIX = re.compile(r"^\((?:\w+|\w+-\d+) pid=\d+\)\s+(?:ERROR \S+ \S+ \[\S+\]\s?)?")
#: Flags that older versions of vLLM do not know. Without them records have less detail, but stay correct.
_OPTIONAL = ["--enable-per-request-metrics", "--enable-prompt-tokens-details"]


def _folder(model: Model, weights: Path | None) -> Path:
    if weights is None or not weights.is_dir():
        raise EngineError(
            f"vLLM needs a folder in Hugging Face's layout for {model.name}, but its weights are {weights}"
        )
    return weights


def _context_tokens(config: ModelConfig, options: EngineOptions) -> int:
    return min(options.context_tokens, config.max_tokens) if config.max_tokens else options.context_tokens


def _kv_bytes(config: ModelConfig, options: EngineOptions) -> int:
    blocks = -(-_context_tokens(config, options) // _BLOCK_TOKENS)
    tokens = (options.slots * blocks + 1) * _BLOCK_TOKENS
    return config.kv_bytes(tokens, dtype=options.kv_cache_dtype) // min(options.tensor_parallel, config.kv_heads)


def _flag(name: str, value: Value) -> tuple[str, ...]:
    if isinstance(value, bool):
        return (f"--{name}" if value else f"--no-{name}",)
    return f"--{name}", str(value)


def _with_reason(error: EngineError, log: Path) -> str:
    """The error's message with vLLM's own reason before the end of the log, which is often a long traceback."""
    head, _, _ = str(error).partition(". Last lines of its log:")
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    reason = failure_reason(text)
    return f"{head}: {reason.rstrip('.')}{log_tail(log)}" if reason else f"{head}{log_tail(log)}"


def failure_reason(log: str) -> str:
    """Find the reason in vLLM's log why vLLM ended.

    The reason is an error of the argument parser, an error of the configuration check, or else the first exception.
    Later exceptions only report that another of vLLM's processes ended.

    Args:
        log: The text of the log.

    Returns:
        The reason in vLLM's words; empty if the log has none.
    """
    lines = [_LOG_PREFIX.sub("", line) for line in log.splitlines()]
    for number, line in enumerate(lines):
        if (match := re.search(r"\berror: (.+)", line)) and "api_server" in line:
            return match[1].strip()
        if "validation error for" in line and number + 1 < len(lines):
            return re.sub(r"\s*\[type=.*", "", lines[number + 1]).strip().removeprefix("Value error, ")
    for line in lines:
        if match := re.match(r"(?:[\w.]+\.)?(\w*(?:Error|Exception)): (.+)", line):
            return f"{match[1]}: {match[2].strip()}"
    return ""


engine = EnginePlugin(make=VllmEngine, weights="safetensors")
