"""A pool of engines that only says what it would do, for tests of what asks it."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from orkester.errors import EngineError
from orkester.testing.scripted import ChatCall, ScriptedModel


@dataclass
class ScriptedLease:
    """Stands for ``orkester.serving.pool.Lease``."""

    pool: "ScriptedPool"
    models: Mapping[str, ScriptedModel]
    overrides: Mapping[str, object]

    @property
    def facts(self) -> Mapping[str, Mapping[str, object]]:
        return {name: {"engine": "scripted", **self.overrides} for name in self.models}

    @property
    def models_without_preamble(self) -> Mapping[str, ScriptedModel]:
        return self.models

    async def reset_prefix_caches(self) -> Mapping[str, bool]:
        self.pool.did.append(("reset", *self.models))
        if self.pool.reset_fails.pop("next", False):
            raise EngineError("it did not answer")
        return {name: name not in self.pool.keeps for name in self.models}

    async def metrics(self) -> Mapping[str, Any]:
        return {}


@dataclass
class ScriptedPool:
    """Stands for ``orkester.serving.pool.Pool``; one engine at a time is resident.

    ``did`` has what was asked of it, in order; ``loses`` says which engines a lease has lost, once for each entry.
    """

    keeps: Collection[str] = ()
    loses: list[tuple[str, ...]] = field(default_factory=list)
    answer: Callable[[ChatCall, Mapping[str, object]], str] = lambda asked, overrides: guess(asked, overrides)  # noqa: PLW0108
    did: list[tuple[str, ...]] = field(default_factory=list)
    reset_fails: dict[str, bool] = field(default_factory=dict)

    def fits(self, configurations: object) -> bool:
        return True

    def resident_engines(self) -> frozenset[str]:
        return frozenset()

    def not_running(self, names: Collection[str], overrides: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def asleep(self, names: Collection[str], overrides: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    async def lease(self, names: Collection[str], overrides: Mapping[str, object]) -> ScriptedLease:
        self.did.append(("lease", *sorted(names), json.dumps(dict(overrides))))
        asked = dict(overrides)
        return ScriptedLease(
            self, {name: ScriptedModel(name, lambda call: self.answer(call, asked)) for name in names}, asked
        )

    async def lost_engines(self, lease: ScriptedLease, *, energy_j: float | None = None) -> tuple[str, ...]:
        self.did.append(("lost?", *lease.models))
        return self.loses.pop(0) if self.loses else ()

    def log_tail(self, name: str, overrides: Mapping[str, object]) -> str:
        return f" (the log of {name} with {dict(overrides)})"


def guess(asked: ChatCall, overrides: Mapping[str, object]) -> str:
    """Right or wrong, as a hash of the call has it; the large model and more sequences are better."""
    number = int(str(asked.content).split()[2])
    digest = hashlib.sha256(f"{asked.content}{asked.seed}{asked.model}".encode()).digest()[0] / 256
    chance = 0.5 + 0.2 * (asked.model == "large") + 0.1 * (overrides.get("max_num_active_seqs") == 4)
    return str(2 * number if digest < chance else number)
