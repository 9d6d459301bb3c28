"""The call store: the calls that the search of a run has made, by their keys."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from .block import Block, Call


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """The power that does not belong to calls, from the blocks that reused nothing.

    Attributes:
        idle_w: Watts that the engines use when they are idle. None when one block does not have this number; these
            watts are then part of ``unattributed_w`` and of the calls' joules.
        unattributed_w: Watts that belong to no call.
        error_share: The possible error of the meter, as a share of the measured joules.
        attribution: How the joules were shared among calls; several methods, separated by commas, where blocks differ.
    """

    idle_w: float | None
    unattributed_w: float
    error_share: float
    attribution: str


@dataclass
class _Sums:
    """Sums over the blocks of one meter that have joules and reused nothing."""

    wall_s: float = 0.0
    total_j: float = 0.0
    error_j: float = 0.0
    idle_j: float | None = 0.0
    unattributed_j: float = 0.0
    attribution: set[str] = field(default_factory=set)

    def add(self, block: Block) -> None:
        self.wall_s += block.wall_s
        self.total_j += sum((block.energy_j or {}).values())
        self.error_j += block.energy_error_j
        idle_j = block.energy_idle_j
        self.idle_j = None if idle_j is None or self.idle_j is None else self.idle_j + idle_j
        self.unattributed_j += block.energy_unattributed_j or 0.0
        self.attribution.add(block.attribution)


class CallStore:
    """The successful calls of a search, by key.

    The store is made from blocks only, so it is the same after a run is resumed. It refers to the calls in the blocks
    and does not copy them, so it needs little memory in addition to the blocks.

    Args:
        blocks: The blocks to start with.
    """

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        self._calls: dict[str, dict[str, Call]] = defaultdict(dict)
        self._engines: dict[tuple[str, str], Mapping[str, object]] = {}
        self._sums: dict[str, _Sums] = defaultdict(_Sums)
        for block in blocks:
            self.add(block)

    def __len__(self) -> int:
        """The number of different calls. A call that was made with two meters counts twice."""
        return sum(len(calls) for calls in self._calls.values())

    def add(self, block: Block) -> None:
        """Add the calls of a block. Blocks of confirmation are ignored.

        A call that is in the store already stays as it is, unless it has no joules and the new one has.

        Args:
            block: The block.
        """
        if block.phase != "search":
            return
        options = _options_text(block.engine_options)
        for model, facts in block.engines.items():
            self._engines[model, options] = facts
        calls = self._calls[block.energy_method]
        for example in block.examples:
            for call in example.calls:
                if call.key is None or call.text is None or call.failure is not None or call.reused:
                    continue
                stored = calls.get(call.key)
                if stored is None or (stored.energy_j is None and call.energy_j is not None):
                    calls[call.key] = call
        if block.energy_j is not None and not block.reused_calls:
            self._sums[block.energy_method].add(block)

    def recall(self, key: str, method: str) -> Call | None:
        """Get a call from the store.

        Args:
            key: The key of the call; see ``calls.Keys``.
            method: The label of the meter in use. When there is a meter, a call without joules of the same meter is
                not reused, because the joules of the block would not be known.

        Returns:
            The call with its text, marked as reused; None when the call must be made.
        """
        call = self._calls[method].get(key)
        if method == "unavailable":
            call = call or next((calls[key] for calls in self._calls.values() if key in calls), None)
            return None if call is None else replace(call, reused=True, energy_j=None, span_id=None)
        if call is None or call.energy_j is None or not self._sums[method].wall_s:
            return None
        return replace(call, reused=True, span_id=None)

    def engines(
        self, models: Iterable[str], options: Mapping[str, bool | int | float | str | None]
    ) -> dict[str, Mapping[str, object]] | None:
        """Get the facts of the engines that last served these models with these options.

        Args:
            models: The names of the models.
            options: The values of the engine options that the study searches.

        Returns:
            The facts by model name; None when one of the models was never served with these options.
        """
        options_text = _options_text(options)
        facts_by_model = {model: self._engines.get((model, options_text)) for model in models}
        known = {model: facts for model, facts in facts_by_model.items() if facts is not None}
        return known if len(known) == len(facts_by_model) else None

    def overhead(self, method: str) -> Overhead | None:
        """Compute the power that does not belong to calls.

        Args:
            method: The label of the meter.

        Returns:
            The overhead; None when no block of this meter reused nothing and has joules.
        """
        sums = self._sums.get(method)
        if sums is None or sums.wall_s <= 0:
            return None
        return Overhead(
            idle_w=None if sums.idle_j is None else sums.idle_j / sums.wall_s,
            unattributed_w=sums.unattributed_j / sums.wall_s,
            error_share=sums.error_j / sums.total_j if sums.total_j > 0 else 0.0,
            attribution=", ".join(sorted(sums.attribution - {""})),
        )


def _options_text(options: Mapping[str, bool | int | float | str | None]) -> str:
    return json.dumps(dict(options), sort_keys=True)
