"""The budget of a search, and what is spent of it: teams, minutes, calls, tokens and joules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from orkester.errors import InputError
from orkester.evals.records.block import Block, ScoringCost

if TYPE_CHECKING:
    from orkester.optim.study.parts import BudgetPart

#: The limits, by the names in the study file, with the words for a limit that is reached.
LIMITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "trials": "teams are measured",
        "minutes": "minutes are spent",
        "llm_calls": "LLM calls are sent",
        "tokens": "tokens are spent",
        "joules": "joules are spent",
    }
)
#: Limits that are counted in whole numbers.
WHOLE: Final = frozenset({"trials", "llm_calls", "tokens"})

_UNKNOWN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tokens": "the server does not say how many tokens a call took",
        "joules": "no block has joules that were measured",
    }
)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What blocks of the search have cost. Two of them can be added: ``Spent.of(one) + Spent.of(other)``.

    ``tokens`` and ``joules`` serve to stop a search, not to rank teams. Calls without token counts and blocks without
    joules count like the mean of the others, so that one failed reading does not end a search.

    Attributes:
        trials: Teams that were measured, or that could not be measured.
        wall_s: Seconds in measurement windows, and of scoring after them.
        llm_calls: Requests that were sent, including retries, failed ones and those of the scorer. Calls that were
            answered from the run's call store cost nothing.
        answered: Calls that were sent and answered.
        counted: Those of the answered calls whose tokens the server counted.
        counted_tokens: Tokens in and out of the counted calls.
        blocks: All blocks.
        metered: Those of the blocks that have joules.
        metered_j: Joules of the metered blocks.
    """

    trials: int = 0
    wall_s: float = 0.0
    llm_calls: int = 0
    answered: int = 0
    counted: int = 0
    counted_tokens: int = 0
    blocks: int = 0
    metered: int = 0
    metered_j: float = 0.0

    @classmethod
    def of(cls, block: Block) -> Spent:
        """What one block has cost. It counts no trial, since the team may get more blocks."""
        calls = [call for example in block.examples for call in example.calls if not call.reused]
        answered = [call for call in calls if call.failure is None]
        tokens = [
            call.input_tokens + call.output_tokens
            for call in answered
            if call.input_tokens is not None and call.output_tokens is not None
        ]
        spent = cls(
            wall_s=block.wall_s,
            llm_calls=sum(call.attempts for call in calls),
            answered=len(answered),
            counted=len(tokens),
            counted_tokens=sum(tokens),
            blocks=1,
            metered=int(block.energy_j is not None),
            metered_j=block.spent_j or 0.0,
        )
        return spent if block.scoring is None else spent + cls._of_scoring(block.scoring)

    @classmethod
    def _of_scoring(cls, cost: ScoringCost) -> Spent:
        """What scoring a block has cost. It is the user's, too, although it is no team's."""
        counted = cost.input_tokens is not None and cost.output_tokens is not None
        return cls(
            wall_s=cost.wall_s,
            llm_calls=cost.calls,
            answered=cost.calls,
            counted=cost.calls if counted else 0,
            counted_tokens=(cost.input_tokens or 0) + (cost.output_tokens or 0) if counted else 0,
            metered_j=cost.energy_j or 0.0,
        )

    def __add__(self, other: Spent) -> Spent:
        return Spent(**{name: getattr(self, name) + getattr(other, name) for name in _FIELDS})

    @property
    def minutes(self) -> float:
        """Minutes in measurement windows."""
        return self.wall_s / 60

    @property
    def tokens(self) -> float | None:
        """Tokens in and out; None when there are answered calls and the tokens of none were counted."""
        return _scaled(self.counted_tokens, self.counted, self.answered)

    @property
    def joules(self) -> float | None:
        """Joules by the study's meter; None when there are blocks and none of them has joules."""
        return _scaled(self.metered_j, self.metered, self.blocks)

    def amount(self, name: str) -> float | None:
        """How much is spent of a limit, by its name; None when it is not known."""
        amount: float | None = getattr(self, name)
        return amount


_FIELDS: Final = tuple(each.name for each in fields(Spent))


def readable(amount: float) -> str:
    """An amount for people, for example 3,120 or 0.25 or 12.5."""
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.3g}"


def _whole(amount: float | None) -> int | None:
    return None if amount is None else int(amount)


def _scaled(total: float, known: int, of: int) -> float | None:
    if known:
        return total * (of / known)
    return None if of else 0.0


@dataclass(frozen=True, kw_only=True)
class Use:
    """How much of one limit is spent."""

    name: str
    spent: float
    limit: float

    @property
    def share(self) -> float:
        """1 when the limit is reached."""
        return self.spent / self.limit


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When a search ends: with the first limit that is reached. None is no limit.

    Attributes:
        trials: Different teams.
        minutes: Minutes in measurement windows.
        llm_calls: Requests that are sent; see ``Spent``.
        tokens: Tokens in and out.
        joules: Joules by the study's meter, in measurement windows.
    """

    trials: int | None = None
    minutes: float | None = None
    llm_calls: int | None = None
    tokens: int | None = None
    joules: float | None = None

    @classmethod
    def of(cls, part: BudgetPart) -> Budget:
        """The budget of a study file. The default number of teams holds only where the file gives no limit at all."""
        given = part.model_dump(include=set(LIMITS))
        others = any(limit is not None for name, limit in given.items() if name != "trials")
        if others and "trials" not in part.model_fields_set:
            given["trials"] = None
        return cls(**given)

    @property
    def limits(self) -> Mapping[str, float]:
        """The limits that the budget has, by name."""
        limits = {name: getattr(self, name) for name in LIMITS}
        return {name: limit for name, limit in limits.items() if limit is not None}

    def raised(self, limits: Mapping[str, float]) -> Budget:
        """A budget with these limits, where they are higher than its own or it had none."""
        higher = {name: max(limit, self.limits.get(name, limit)) for name, limit in limits.items()}
        merged = {**self.limits, **higher}
        trials, llm_calls, tokens = (_whole(merged.get(name)) for name in ("trials", "llm_calls", "tokens"))
        minutes, joules = merged.get("minutes"), merged.get("joules")
        return Budget(trials=trials, minutes=minutes, llm_calls=llm_calls, tokens=tokens, joules=joules)

    def teams_of(self, space: int) -> int:
        """The most teams that can be measured in a space with so many teams."""
        return space if self.trials is None else min(self.trials, space)

    def over(self, spent: Spent) -> str:
        """Why the search ends, for people; empty while it goes on.

        Raises:
            InputError: No limit is reached, and one of the limits cannot be kept, since it is not known how much of it
                is spent.
        """
        for use in self.uses(spent):
            if use.spent >= use.limit:
                return f"{readable(use.limit)} {LIMITS[use.name]}"
        for name in self.limits:
            if spent.amount(name) is None:
                raise InputError(
                    f"budget.{name}: this limit cannot be kept: {_UNKNOWN[name]}. Give the budget in llm_calls or "
                    "minutes instead; the run goes on from where it is"
                )
        return ""

    def uses(self, spent: Spent) -> list[Use]:
        """How much of each limit is spent, where it is known, in the order of ``LIMITS``."""
        amounts = [(name, spent.amount(name), limit) for name, limit in self.limits.items()]
        return [Use(name=name, spent=done, limit=limit) for name, done, limit in amounts if done is not None]

    def tightest(self, spent: Spent, *, space: int) -> Use | None:
        """The limit that will end the search first, if the search goes on as it did so far.

        Args:
            spent: What is spent so far.
            space: The number of teams in the space; when all are measured, the search ends, too.

        Returns:
            None when nothing is known of any limit.
        """
        within = replace(self, trials=self.teams_of(space))
        return max(within.uses(spent), key=lambda use: use.share, default=None)


@dataclass(kw_only=True)
class Account:
    """What a search has spent, updated with each block.

    There are two sums, since the end of a search must not depend on whether a team was cut off half-way.

    Attributes:
        spent: What the teams that have ended have cost.
        total: What all blocks have cost.
    """

    spent: Spent = field(default_factory=Spent, init=False)
    total: Spent = field(default_factory=Spent, init=False)
    _teams: dict[str, Spent] = field(default_factory=dict, init=False)
    _under_way: dict[str, Spent] = field(default_factory=dict, init=False)

    @property
    def teams(self) -> Mapping[str, Spent]:
        """What each team that has ended has cost, by its id, in the order of the first ends."""
        return self._teams

    def add(self, block: Block) -> None:
        """Count a block. A block of confirmation costs the search nothing."""
        if block.phase != "search":
            return
        cost = Spent.of(block)
        self.total += cost
        self._under_way[block.team] = self._under_way.get(block.team, Spent()) + cost

    def end(self, team: str) -> None:
        """A team has ended: measured, given up, or stopped early. A team that gets more blocks ends again."""
        cost = self._under_way.pop(team, Spent())
        if team not in self._teams:
            cost += Spent(trials=1)
            self.total += Spent(trials=1)
        self._teams[team] = self._teams.get(team, Spent()) + cost
        self.spent += cost


def account(blocks: Collection[Block], ended: Collection[str] = ()) -> Account:
    """The account of the blocks of a run.

    Args:
        blocks: All blocks of the run.
        ended: Ids of the teams that have ended.
    """
    kept = Account()
    for block in blocks:
        kept.add(block)
    for team in dict.fromkeys([*(block.team for block in blocks if block.team in ended), *sorted(ended)]):
        kept.end(team)
    return kept


def begun(blocks: Collection[Block], failed: Iterable[str] = ()) -> Spent:
    """What the search of a run has cost so far, including teams that were cut off."""
    return account(blocks, {*(block.team for block in blocks if block.phase == "search"), *failed}).spent
