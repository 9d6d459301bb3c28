"""Confirmation: whose blocks of held-out examples come next, until it is clear which teams are on the front.

Members of the search's front are confirmed, and teams that came near it: the search may have been unlucky with them.
So is the best single agent: the verdict on the run compares teams with it, and the values of the search are too good
for that, since teams were chosen by them.
All begin with as many blocks as show a spread. From then on blocks go where membership is least clear, until it is
clear for all, or the held-out examples or the calls are used up. Every decision follows from the records alone, so a
run that was killed goes on as one that was not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orkester.evals.footprint import Footprint
from orkester.evals.records.block import Phase
from orkester.evals.records.log import BlockLog
from orkester.evals.stats.intervals import MIN_BLOCKS
from orkester.evals.stats.rows import Rows
from orkester.evals.summaries.rows import team_rows
from orkester.graphs import Team
from orkester.optim.goals.front_probability import CLEAR, near_members, rivals, seeded
from orkester.optim.run.budget import Spent
from orkester.optim.run.results import Results, TeamResult, infeasibility
from orkester.optim.search.engine_order import by_engines
from orkester.optim.search.search import CHANGE_CALLS

from .next_block import next_block

#: Blocks a turn: with fewer a team shows no spread of its joules, and engines and prompts in their caches would change
#: the more often.
TURN = MIN_BLOCKS


@dataclass(frozen=True, kw_only=True)
class ConfirmationTurn:
    """Blocks of one team, one after the other.

    Attributes:
        result: of the team.
        last: number of its blocks after the turn.
        number: which team in the order of confirmation, from 1.
        of: teams that are confirmed.
    """

    result: TeamResult
    last: int
    number: int
    of: int


@dataclass(kw_only=True)
class Confirmation:
    """Decides which team is measured next on held-out examples, until it is clear who is on the front.

    Attributes:
        log: blocks so far.
        blocks: of held-out examples.
        calls: most that are sent; None for no limit.
        footprint: what joules mean where the study runs.
        engines_take_turns: whether another team may need engines to be changed.
    """

    log: BlockLog
    blocks: int
    calls: int | None = None
    footprint: Footprint | None = None
    engines_take_turns: bool = False
    _near: tuple[Sequence[str], Sequence[str]] = field(default=((), ()), init=False)

    def candidates(self, results: Results) -> Sequence[TeamResult]:
        """Front members, at most as many near members, the nearest, and the best single agent.

        No member surely beats near members in the search.
        """
        front = results.front
        near = self._near_ids(results, {member.team.id for member in front})[: len(front)]
        by_id = {result.team.id: result for result in results.teams}
        chosen = [*front, *(by_id[team] for team in near)]
        single = results.best_single if front else None
        return chosen if single is None or single in chosen else [*chosen, single]

    def next(self, results: Results) -> ConfirmationTurn | None:
        """Whose turn it is; None when confirmation is over.

        Args:
            results: what the log says.
        """
        if self.over():
            return None
        candidates = {result.team.id: result for result in self.candidates(results)}
        team = self._under_way(candidates) or self._unseen(candidates) or self._least_clear(results, candidates)
        if team is None:
            return None
        begun = list(dict.fromkeys(block.team for block in self.log.all_blocks() if block.phase == "confirm"))
        among = [*(other for other in begun if other in candidates), team]
        return ConfirmationTurn(
            result=candidates[team],
            last=min(self.blocks, TURN * (self._done(team) // TURN + 1)),
            number=among.index(team) + 1,
            of=len(candidates),
        )

    def over(self) -> bool:
        """Whether the calls are used up."""
        return self.calls is not None and self._sent() >= self.calls

    def blocks_left(self, results: Results) -> int:
        """At most."""
        return sum(self.blocks - self._done(result.team.id) for result in self.candidates(results))

    # -- whose turn -----------------------------------------------------------------------------------------------

    def _under_way(self, candidates: Mapping[str, TeamResult]) -> str | None:
        """The team whose turn was cut off."""
        last = next((block.team for block in reversed(self.log.all_blocks()) if block.phase == "confirm"), "")
        done = self._done(last)
        return last if last in candidates and done % TURN and done < self.blocks else None

    def _unseen(self, candidates: Mapping[str, TeamResult]) -> str | None:
        """One that has not begun. Where calls are limited the front's members come first."""
        waiting = [result for team, result in candidates.items() if not self._done(team)]
        if self.calls is not None:
            waiting = [result for result in waiting if result.on_front] or waiting
        if not waiting:
            return None
        return waiting[by_engines([result.team for result in waiting], self._measured())[0]].team.id

    def _least_clear(self, results: Results, candidates: Mapping[str, TeamResult]) -> str | None:
        rows = {team: self._rows(team, "confirm") for team in candidates}
        clarity = {team: _clarity(result, results) for team, result in candidates.items()}
        unclear = {team for team, probability in clarity.items() if CLEAR[0] < probability < CLEAR[1]}
        if not any(self._done(team) < self.blocks for team in unclear):
            # Only who may beat those that are used up makes them clearer.
            able = unclear | rivals(rows, unclear, results.objectives, seeded(rows, results.objectives))
            clarity = {team: probability for team, probability in clarity.items() if team in able}
        return next_block(
            rows,
            clarity,
            {team: self.blocks - self._done(team) for team in candidates},
            {team: self._cost(result.team) for team, result in candidates.items()},
        )

    def _cost(self, team: Team) -> float:
        """Calls of a block, with what it costs to change engines counted as calls."""
        blocks = self.log.blocks(team.id, "confirm")
        calls = sum(Spent.of(block).llm_calls for block in blocks) / max(1, len(blocks))
        if not self.engines_take_turns:
            return calls
        *_, last = self._measured()
        return calls + CHANGE_CALLS * ((set(last.models), last.engine) != (set(team.models), team.engine))

    def _near_ids(self, results: Results, front: set[str]) -> Sequence[str]:
        """Teams near the front, the nearest first; looked for again only when other teams can be on it."""
        sound = [result for result in results.teams if result.whole and not result.infeasible]
        able = [result.team.id for result in sound if not result.same_as]
        if self._near[0] != able:
            rows = {team: self._rows(team, "search") for team in able}
            self._near = (able, [team for team in near_members(rows, results.objectives) if team not in front])
        return self._near[1]

    # -- what the log says ----------------------------------------------------------------------------------------

    def _done(self, team: str) -> int:
        return len(self.log.blocks(team, "confirm"))

    def _rows(self, team: str, phase: Phase) -> Rows:
        return team_rows(self.log.blocks(team, phase), self.footprint)

    def _sent(self) -> int:
        return sum(Spent.of(block).llm_calls for block in self.log.all_blocks() if block.phase == "confirm")

    def _measured(self) -> Iterable[Team]:
        return (Team(block.topology, block.knobs, block.engine_options) for block in self.log.all_blocks())


def _clarity(result: TeamResult, results: Results) -> float:
    """Probability of being on the front; a half where it is not clear whether the team keeps to the constraints."""
    probability = result.front_probability or 0.0
    if result.confirmed is None or not (result.on_front or probability > CLEAR[0]):
        return probability
    broken = infeasibility(result.confirmed, results.objectives, results.constraints)
    return 0.5 if broken else probability
