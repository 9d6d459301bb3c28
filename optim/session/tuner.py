"""Runs a study: search, then confirmation, block by block, from wherever the run directory says it stands."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from orkester.agents.routing import RoutingPolicy
from orkester.errors import EngineLost
from orkester.evals.records.block import Block, Phase
from orkester.evals.records.call_store import CallStore
from orkester.evals.records.log import BlockLog, Record, TeamFailure, TeamStopped
from orkester.evals.summaries.baselines import Baseline
from orkester.evals.summaries.cut_answers import cut_answers
from orkester.evals.summaries.rows import rows_of
from orkester.evals.task import Example
from orkester.graphs import Team
from orkester.optim.confirm.confirmation import Confirmation
from orkester.optim.run.budget import Account, Budget, readable
from orkester.optim.run.cut_answer_warnings import team_warnings
from orkester.optim.run.events import AnswersCut, Preparing, SearchEnded, TeamMeasured, TeamStarted
from orkester.optim.run.results import Findings, Results
from orkester.optim.run.scoring_notes import unread_verdicts
from orkester.optim.search.engine_order import by_engines
from orkester.optim.search.samplers import Outcome, Sampler, Turn
from orkester.optim.search.search import Search, Taken
from orkester.optim.study.answer_limits import AnswerLimit, AnswerLimits
from orkester.optim.study.routing import records_of
from orkester.optim.study.study import Study
from orkester.telemetry import TraceStore
from orkester.telemetry import attributes as names

from .block_driver import BlockDriver
from .progress import Progress


@dataclass(kw_only=True)
class Tuner:
    """Drives one study to its end.

    Every decision follows from the records and the study alone, so a resumed run takes the same way as one that was
    never interrupted.

    Attributes:
        study: what is searched.
        log: blocks so far; new ones are appended.
        budget: when the search ends: the study file's, and what the run was given beyond it.
        search: what the blocks say, and which teams are out of the race.
        sampler: whose turn is next.
        batch: teams asked for at a time, to be measured in the order of their engines; the same in every resume.
        baselines: what guesses score.
        driver: runs blocks.
        traces: the run's trace store.
        progress: announces how far the run is.
    """

    study: Study
    log: BlockLog
    budget: Budget
    search: Search
    sampler: Sampler
    batch: int = 1
    baselines: Sequence[Baseline] = ()
    driver: BlockDriver
    traces: TraceStore
    progress: Progress
    _store: CallStore | None = field(init=False)  # calls of the search, to be answered from; None: each is made anew
    _account: Account = field(default_factory=Account, init=False)
    _findings: Findings = field(init=False)
    _last: Results | None = field(default=None, init=False)
    _stale: bool = field(default=True, init=False)
    _begun: set[str] = field(default_factory=set, init=False)
    _measured: dict[str, Team] = field(default_factory=dict, init=False)  # who was measured last comes last
    _confirmation: Confirmation | None = field(default=None, init=False)
    _policies: Mapping[str, RoutingPolicy] = field(default_factory=dict, init=False)
    _warned: set[tuple[str, AnswerLimit]] = field(default_factory=set, init=False)  # models and limits with cut answers
    _warned_of_verdicts: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        file = self.study.file
        self._store = CallStore() if file.measure.reuse else None
        self._findings = Findings(
            file.objectives,
            file.constraints,
            self.study.sizes,
            footprint=file.energy.footprint,
            baselines=self.baselines,
        )
        for record in self.log.records():
            self._findings.add(record)

    def stop(self) -> bool:
        """Finish the block under way, then raise ``Interrupted``; whether there is one, or only engines that start."""
        return self.driver.stop()

    async def run(self) -> Results:
        """Search and confirm; where confirmation takes a team off the front and budget is left, search on.

        Raises:
            Interrupted: after ``stop``.
            OrkesterError: the study cannot go on.
        """
        self._recall()
        await self.progress.begin(self._account)
        await self._search()
        while await self._confirm():
            await self._search()
        return self._results()

    # -- search ---------------------------------------------------------------------------------------------------

    def _recall(self) -> None:
        """What the records say; a killed process may not have recorded whether the last block stopped its team."""
        blocks = self.log.all_blocks()
        last = {(block.team, block.phase): block for block in blocks}
        for block in blocks:
            ended = block is last[block.team, block.phase]
            if block.phase == "search":
                reason = self.log.stopped.get(block.team, "") if ended else ""
                stopped = None if block is blocks[-1] and not reason else reason
                self._learn(Team(block.topology, block.knobs, block.engine_options), block, stopped)
            elif ended:  # a team that failed in confirmation gets no more blocks
                self._strike(block.team)
        for failure in self.log.failures:
            self._failed(Team(failure.topology, failure.knobs, failure.engine_options), failure.reason)

    async def _search(self) -> None:
        if reason := await self._learn_routing():
            self.progress.observer(SearchEnded(reason=reason, teams=len(self.search.evidence.teams)))
            return
        while True:
            # Turns that a killed process had begun are chosen again, and the sampler receives their outcomes.
            turns = self.search.choose(
                self.sampler, self.batch, new_teams=self._new_teams(), calls_left=self._calls_left()
            )
            reason = self.budget.over(self._account.total)
            if not turns:
                reason = reason or self._nothing_left()
                break
            for index in by_engines([turn.team for turn in turns], self._measured_before(turns)):
                reason = await self._take(turns[index])
                if reason:
                    break
            for turn in turns:
                if turn.team.id in self.search.closed:
                    self.sampler.tell(self._outcome(turn.team))
            if reason:
                break
        self.progress.observer(SearchEnded(reason=reason, teams=len(self.search.evidence.teams)))

    async def _learn_routing(self) -> str:
        """Measure the agents that routing policies learn from, and fit the policies.

        It comes before all other turns, so that a resumed run fits the same policies.

        Returns:
            Why the search is over; empty if it goes on.
        """
        routing, size = self.study.routing, self.study.file.measure.block
        needed = -(-min(routing.examples, len(self.study.search_examples)) // size)
        for team in routing.sources.values():
            more = needed - len(self.log.blocks(team.id, "search"))
            if more > 0 and (reason := await self._take(Turn(team=team, blocks=more))):
                return reason
        blocks = {team.id: self.log.blocks(team.id, "search") for team in routing.sources.values()}
        self._policies = routing.fitted(records_of(routing.sources, blocks, self.study.search_examples))
        return ""

    def _nothing_left(self) -> str:
        """Why there is no turn though the budget has something left."""
        space, closed = self.study.space, self.search.closed
        if len(closed) >= len(space) and all(team.id in closed for team in space.teams()):
            return "every team of the space is measured"
        if self._new_teams() == 0:
            teams = readable(self.budget.teams_of(len(space)))
            return f"{teams} teams are measured, as far as that could change the front"
        return "no block that is left could change the front"

    async def _take(self, turn: Turn) -> str:
        """Run a turn's blocks; why the search is over, if it is now."""
        team, parts = turn.team, self._parts("search")
        first = len(self.log.blocks(team.id, "search"))
        last = len(parts) if turn.blocks is None else min(len(parts), first + turn.blocks)
        if team.id in self.search.closed:
            return ""
        number = self._number(team)
        self.progress.observer(
            TeamStarted(
                team=team,
                phase="search",
                number=number + 1,
                of=self.budget.teams_of(len(self.study.space)),
                blocks=len(parts),
            )
        )
        attributes = {names.TEAM_ID: team.id, names.TEAM_TOPOLOGY: team.topology, names.TEAM: str(team)}
        with self.traces.trial(number, attributes) as span:
            try:
                for index in range(first, last):
                    if reason := self.budget.over(self._account.total):
                        return reason
                    await self._run_block(team, parts[index], "search", index, number)
                    if team.id in self.search.closed:
                        break
            except EngineLost as error:
                self._give_up(team, number, str(error))
            result = self._findings.team(team.id)
            for name, estimate in (result.search.estimates if result.search else {}).items():
                span.set_attribute(names.OBJECTIVE_PREFIX + name, estimate.value)
            span.set_attribute(names.TRIAL_STATE, result.infeasible or result.stopped or "feasible")
        if team.id in self.search.closed:
            self._announce_measured(team, "search")
            self.progress.team_ended(self._account)
        return ""

    def _learn(self, team: Team, block: Block, stopped: str | None = None) -> None:
        """What a block of the search says; the same when it is read as when it is run. ``stopped``: see ``Search``."""
        self._account.add(block)
        self._begun.add(team.id)
        self._measured.pop(team.id, None)
        self._measured[team.id] = team
        if self._store is not None:
            self._store.add(block)
        self.search.learn(team, rows_of(block, self.study.file.energy.footprint), Taken.of(block), stopped=stopped)
        if team.id in self.search.closed:
            self._account.end(team.id)
            if (reason := self.search.closed[team.id]) and team.id not in self.log.stopped:
                self._record(TeamStopped(team=team.id, reason=reason))

    def _failed(self, team: Team, reason: str) -> None:
        self.search.give_up(team, reason)
        self._begun.add(team.id)
        self._account.end(team.id)

    def _give_up(self, team: Team, trial: int, reason: str) -> None:
        self._record(
            TeamFailure(
                team=team.id,
                topology=team.topology,
                knobs=dict(team.knobs),
                reason=reason,
                trial=trial,
                engine_options=dict(team.engine),
            )
        )
        self._failed(team, reason)

    def _number(self, team: Team) -> int:
        """Of the team's trial: teams are numbered as they are begun."""
        known = [block.trial for block in self.log.blocks(team.id, "search")]
        return known[0] if known and known[0] is not None else len(self._begun)

    def _new_teams(self) -> int | None:
        return None if self.budget.trials is None else max(0, self.budget.trials - len(self._begun))

    def _calls_left(self) -> float:
        """Model calls until the first limit other than the number of teams, at what a call has cost so far."""
        sent = self._account.total.llm_calls
        shares = [use.share for use in self.budget.uses(self._account.total) if use.name != "trials" and use.share > 0]
        return sent * (1 / max(shares) - 1) if sent and shares else math.inf

    def _outcome(self, team: Team) -> Outcome:
        result = self._findings.team(team.id)
        return Outcome(
            team=team,
            trial=result.trial,
            measurement=result.search,
            infeasible=result.infeasible,
            stopped=result.stopped,
        )

    def _measured_before(self, turns: Sequence[Turn]) -> Iterator[Team]:
        """In the order of their last blocks; without these, which a killed process may have begun: it is to stay."""
        begun = {turn.team.id for turn in turns}
        return (team for team in self._measured.values() if team.id not in begun)

    # -- confirmation ---------------------------------------------------------------------------------------------

    async def _confirm(self) -> bool:
        """Until it is clear who is on the front: a team that fails here makes room for others.

        Returns:
            Whether one has and the budget has something left: those who are to move up may not be measured yet.
        """
        file, parts = self.study.file, self._parts("confirm")
        confirmation = self._confirmation = Confirmation(
            log=self.log,
            blocks=len(parts),
            calls=file.budget.confirm_calls,
            footprint=file.energy.footprint,
            engines_take_turns=self.batch > 1,
        )
        while (turn := confirmation.next(self._results())) is not None:
            team = turn.result.team
            self.progress.observer(
                TeamStarted(team=team, phase="confirm", number=turn.number, of=turn.of, blocks=len(parts))
            )
            try:
                for index in range(len(self.log.blocks(team.id, "confirm")), turn.last):
                    await self._run_block(team, parts[index], "confirm", index, None)
                    if confirmation.over() or self._findings.team(team.id).infeasible:
                        break
            except EngineLost as error:
                self._give_up(team, turn.result.trial, f"in confirmation: {error}")
            self._announce_measured(team, "confirm")
            if self._strike(team.id) and not self.budget.over(self._account.total):
                return True
        return False

    def _strike(self, team: str) -> bool:
        """Take a team out of the search if it is infeasible in confirmation; whether it is."""
        wanting = bool(self._findings.team(team).infeasible)
        if wanting:
            self.search.infeasible.add(team)
        return wanting

    # -- blocks ---------------------------------------------------------------------------------------------------

    async def _run_block(
        self, team: Team, examples: Sequence[Example], phase: Phase, index: int, trial: int | None
    ) -> None:
        blocks = len(self._parts(phase))
        to_come = self._examples_to_come()
        with self.progress.block(team, phase, index, of=blocks, examples=len(examples), to_come=to_come) as progress:
            block = await self.driver.run(
                team,
                examples,
                phase,
                index,
                trial=trial,
                policies=self._policies,
                store=self._store if phase == "search" else None,
                progress=progress,
            )
            self._record(block)
        self._warn_of_cut_answers(team, phase)
        self._warn_of_verdicts(team, phase)
        if phase == "search":
            self._learn(team, block)
            self.progress.spent(self._account)

    def _parts(self, phase: Phase) -> list[Sequence[Example]]:
        examples = self.study.search_examples if phase == "search" else self.study.task.confirm
        size = self.study.file.measure.block
        return [examples[i : i + size] for i in range(0, len(examples), size)]

    # -- what is announced ----------------------------------------------------------------------------------------

    def _examples_to_come(self) -> float:
        """A guess, of search and confirmation, from which the time that is left is estimated."""
        size = self.study.file.measure.block
        if self._confirmation is not None:
            return float(self._confirmation.blocks_left(self._lately()) * size)
        confirming = max(1, len(self._lately().front)) * len(self._parts("confirm")) * size
        evidence = self.search.evidence
        if not evidence.teams:
            return float(self.budget.teams_of(len(self.study.space)) * evidence.examples + confirming)
        # Teams to come see as many as those that have ended; so do those that are under way, if they have not yet.
        done = evidence.done
        closed = np.array([team.id in self.search.closed for team in evidence.teams])
        usual = float(done[closed].mean() if closed.any() else done.mean())
        new = max(0, self.budget.teams_of(len(self.study.space)) - len(self._begun))
        left = new * usual + float(np.maximum(0.0, usual - done[~closed]).sum())
        # Another limit may end it before.
        shares = [use.share for use in self.budget.uses(self._account.total) if use.name != "trials" and use.share > 0]
        return min([left, *(float(done.sum()) * max(0.0, 1 / share - 1) for share in shares)]) + confirming

    def _announce_measured(self, team: Team, phase: Phase) -> None:
        results = self._results()
        result = next(result for result in results.teams if result.team.id == team.id)
        self.progress.observer(TeamMeasured(result=result, results=results, phase=phase))

    def _warn_of_cut_answers(self, team: Team, phase: Phase) -> None:
        """Announce that many answers of a model are cut off, once for each model and limit."""
        limits = AnswerLimits(task=self.study.task.max_tokens, roles=self.study.task.roles)
        for warning in team_warnings(team.topology, cut_answers(self.log.blocks(team.id, phase)), limits):
            if (warning.model, warning.limit) not in self._warned:
                self._warned.add((warning.model, warning.limit))
                self.progress.observer(AnswersCut(team=team, warning=warning.text))

    def _warn_of_verdicts(self, team: Team, phase: Phase) -> None:
        """Announce once that many verdicts of a judge cannot be read, so that its scores say little."""
        if not self._warned_of_verdicts and (note := unread_verdicts(self.log.blocks(team.id, phase))):
            self._warned_of_verdicts = True
            self.progress.observer(Preparing(line=f"scoring: {note}"))

    def _lately(self) -> Results:
        """The results as they were last put together, for guesses, which are needed at every example."""
        return self._last if self._last is not None else self._results()

    # -- records and results --------------------------------------------------------------------------------------

    def _record(self, record: Record) -> None:
        self.log.append(record)
        self._findings.add(record)
        self._stale = True

    def _results(self) -> Results:
        if self._last is None or self._stale:
            self._last, self._stale = self._findings.results(), False
        return self._last
