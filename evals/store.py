"""The calls that a run's search has made, found by what they are."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from .block import Block, Call


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """What a window holds beside its calls' joules, as seen in blocks that reused nothing.

    Attributes:
        idle_w: watts that engines use with nobody asking; None where one block does not know them: they are then in
            ``unattributed_w`` and in the calls' joules.
        unattributed_w: watts that no call accounts for.
        error_share: how far off the meter may be, ÷ its joules.
        attribution: how calls got their joules, by commas where blocks differ.
    """

    idle_w: float | None
    unattributed_w: float
    error_share: float
    attribution: str


@dataclass
class _Sums:
    """Of the blocks of one meter that reused nothing and have joules."""

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
    """Successful calls of a search, by key. Made of blocks alone, so it is the same after a resume.

    It holds the blocks' own call objects, not copies: what a run with many trials needs beside its blocks is a table.

    Args:
        blocks: what is known already.
    """

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        self._calls: dict[str, dict[str, Call]] = defaultdict(dict)
        self._engines: dict[tuple[str, str], Mapping[str, object]] = {}
        self._sums: dict[str, _Sums] = defaultdict(_Sums)
        for block in blocks:
            self.add(block)

    def __len__(self) -> int:
        """How many different calls there are, each meter's for itself."""
        return sum(len(calls) for calls in self._calls.values())

    def add(self, block: Block) -> None:
        """Take a block's calls in; one that is known stays what it was, unless it had no joules and now has.

        Blocks of confirmation are left out.
        """
        if block.phase != "search":
            return
        options = _written(block.engine_options)
        for model, facts in block.engines.items():
            self._engines[model, options] = facts
        calls = self._calls[block.energy_method]
        for example in block.examples:
            for call in example.calls:
                if call.key is None or call.text is None or call.failure is not None or call.reused:
                    continue
                known = calls.get(call.key)
                if known is None or (known.energy_j is None and call.energy_j is not None):
                    calls[call.key] = call
        if block.energy_j is not None and not block.reused_calls:
            self._sums[block.energy_method].add(block)

    def recall(self, key: str, method: str) -> Call | None:
        """The call with that key, with its text and marked as reused; None when it must be made.

        Args:
            key: see ``calls.Keys``.
            method: label of the meter in use. Where it measures, a call that has no joules of that meter must be made,
                for a block's joules would not be known.
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
        """Facts of the engines that served these models with these options last; None when one never did."""
        written = _written(options)
        found = {model: self._engines.get((model, written)) for model in models}
        known = {model: facts for model, facts in found.items() if facts is not None}
        return known if len(known) == len(found) else None

    def overhead(self, method: str) -> Overhead | None:
        """What windows of that meter hold beside calls; None when no block tells."""
        sums = self._sums.get(method)
        if sums is None or sums.wall_s <= 0:
            return None
        return Overhead(
            idle_w=None if sums.idle_j is None else sums.idle_j / sums.wall_s,
            unattributed_w=sums.unattributed_j / sums.wall_s,
            error_share=sums.error_j / sums.total_j if sums.total_j > 0 else 0.0,
            attribution=", ".join(sorted(sums.attribution - {""})),
        )


def _written(options: Mapping[str, bool | int | float | str | None]) -> str:
    return json.dumps(dict(options), sort_keys=True)
