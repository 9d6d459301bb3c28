"""The contract of samplers: the tests that every sampler must pass. Subclass it with the sampler's name."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orkester.evals.objectives import Estimate
from orkester.evals.summaries.measurement import Measurement
from orkester.graphs import Team
from orkester.optim.goals.goal import Goal
from orkester.optim.search.models.evidence import Evidence
from orkester.optim.search.samplers import Outcome, Sampler, Setting, Standing, Turn, make
from orkester.optim.search.trials import Trials
from orkester.optim.study.space import Grid, Space

GOAL = Goal(objectives={"quality": "maximize", "calls": "minimize"}, constraints={"failure_rate": "<= 0"})
EXAMPLES, BLOCK = 8, 4

MODELS = Grid(("small", "large"))
TEMPERATURES = Grid((0.3, 0.35, 0.4, 0.45, 0.5))
#: A space of three topologies, one of them with a single knob: 2 + 4 × 2 × 5 + 2 × 3 × 5 teams.
SPACE = Space(
    {
        "single": {"model": MODELS, "temperature": Grid((0.7,))},
        "vote": {"agents": Grid((2, 3, 4, 5)), "model": MODELS, "temperature": TEMPERATURES},
        "cascade": {
            "first": MODELS,
            "then": Grid(("large",)),
            "votes": Grid((2, 3, 4)),
            "temperature": TEMPERATURES,
            "agreement": Grid((1.0,)),
        },
    }
)
SMALL = Space(
    {
        "single": {"model": MODELS, "temperature": Grid((0.7,))},
        "vote": {"agents": Grid((2, 3, 4)), "model": MODELS, "temperature": Grid((0.7,))},
    }
)
WITH_ENGINES = replace(SMALL, engine={"max_num_active_seqs": (2, 4), "quantization": (None, "fp8")})
START = (
    Team("vote", {"agents": 4, "model": "large", "temperature": 0.4}),
    Team("vote", {"agents": 2, "model": "small", "temperature": 0.3}),
)


def calls_of(team: Team) -> float:
    return float(team.knobs.get("agents", team.knobs.get("votes", 1)))


def quality_of(team: Team) -> float:
    bonus = 0.2 if "large" in team.knobs.values() else 0.0
    return 1 - 0.5 / calls_of(team) - 0.2 + bonus + 0.05 * (team.engine.get("quantization") == "fp8")


def measurement(team: Team, *, examples: int = EXAMPLES, without: str = "", **more: float) -> Measurement:
    """Make the measurement of a team. Larger teams have a higher quality and a higher cost.

    Args:
        team: The team.
        examples: The number of examples.
        without: The name of an objective that is unavailable.
        more: Other values of objectives, by name.
    """
    values = {"quality": quality_of(team), "calls": calls_of(team), "failure_rate": 0.0, **more}
    estimates = {n: Estimate(value=v, low=None, high=None, n=examples) for n, v in values.items() if n != without}
    return Measurement(
        team=team.id,
        phase="search",
        examples=examples,
        blocks=1,
        estimates=estimates,
        energy_method="estimate",
        failures={},
    )


@dataclass(kw_only=True)
class Bench:
    """Simulates the tuner and the run directory: it runs the blocks that a sampler chooses, and keeps their results.

    Attributes:
        unmeasurable: Returns whether no block of a team can be run.
        failing: Returns whether a team violates the constraint.
        evidence: The results of all blocks.
        closed: Teams that get no more blocks, by id, with the reason.
        infeasible: The ids of teams that violate a constraint or could not be measured.
    """

    unmeasurable: Callable[[Team], bool] = lambda team: False
    failing: Callable[[Team], bool] = lambda team: False
    evidence: Evidence = field(default_factory=lambda: Evidence(["quality", "calls", "failure_rate"], EXAMPLES))
    closed: dict[str, str] = field(default_factory=dict)
    infeasible: set[str] = field(default_factory=set)

    def standing(self, **changes: Any) -> Standing:
        return Standing(
            **{
                "evidence": self.evidence,
                "block": BLOCK,
                "closed": self.closed.keys(),
                "infeasible": self.infeasible,
                "cost": lambda team, more: more * calls_of(team),
                **changes,
            }
        )

    def run(self, turn: Turn) -> None:
        """Run the blocks of a turn, until the team is closed."""
        blocks = EXAMPLES // BLOCK if turn.blocks is None else turn.blocks
        while blocks and turn.team.id not in self.closed:
            self.run_block(turn.team)
            blocks -= 1

    def run_block(self, team: Team) -> None:
        if self.unmeasurable(team):
            self.closed[team.id] = "the engine died"
            self.infeasible.add(team.id)
            return
        seen = self.evidence.seen(team)
        rng = np.random.default_rng(seen)  # the same examples for every team
        score = (rng.random(BLOCK) < quality_of(team)).astype(float)
        failed = np.full(BLOCK, float(self.failing(team)))
        rows = {"score": score, "failed": failed, "calls": np.full(BLOCK, calls_of(team))}
        self.evidence.add(team, rows)
        if self.evidence.seen(team) == EXAMPLES:
            self.closed[team.id] = ""
            if self.failing(team):
                self.infeasible.add(team.id)

    def outcome(self, team: Team) -> Outcome:
        if self.unmeasurable(team):
            return Outcome(team=team, measurement=None, infeasible="the engine died")
        measured = measurement(team, examples=self.evidence.seen(team), failure_rate=float(self.failing(team)))
        return Outcome(team=team, measurement=measured, infeasible="fails" if self.failing(team) else "")

    def turn(self, sampler: Sampler, most: int = 1, **changes: Any) -> Sequence[Turn]:
        """Let the sampler choose, run the blocks, and tell the sampler the outcomes."""
        turns = sampler.choose(self.standing(**changes), most)
        for turn in turns:
            self.run(turn)
        for turn in turns:
            if turn.team.id in self.closed:
                sampler.tell(self.outcome(turn.team))
        return turns


def teams_of(turns: Sequence[Turn]) -> list[str]:
    return [turn.team.id for turn in turns]


class SamplerContract:
    """The contract of all samplers. A subclass sets the name of the sampler."""

    #: The name of the sampler in study files.
    name: str
    #: A number of turns after which the sampler uses its own model of the space.
    turns = 11
    #: The maximum number of teams that the sampler chooses at the same time.
    batch = 3

    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        """A folder for the study's database. It is in memory if possible, because Optuna syncs to disk very often."""
        memory = Path("/dev/shm")
        roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**28
        with tempfile.TemporaryDirectory(dir=memory if roomy else None, prefix="orkester-test-") as folder:
            yield Path(folder)

    def make(self, setting: Setting, trials: Trials) -> Sampler:
        """Make a new sampler."""
        return make(self.name, setting, trials)

    @contextmanager
    def opened(
        self, folder: Path, space: Space = SPACE, *, seed: int = 1, start: Sequence[Team] = ()
    ) -> Iterator[tuple[Sampler, Trials]]:
        """The sampler and the trials of a run directory, as a new process opens them."""
        with Trials(space, GOAL, path=folder / "optuna.db", name="study") as trials:
            yield self.make(Setting(space=space, goal=GOAL, seed=seed, start=start), trials), trials

    def chosen_teams(self, folder: Path, bench: Bench, turns: int, most: int = 1, **setting: Any) -> list[str]:
        """The ids of the teams, in the order of their turns."""
        with self.opened(folder, **setting) as (sampler, _):
            return [team for _ in range(turns) for team in teams_of(bench.turn(sampler, most))]

    @pytest.mark.parametrize("space", [SPACE, WITH_ENGINES], ids=["knobs", "engine options"])
    def test_what_it_chooses_is_of_the_space(self, folder: Path, space: Space) -> None:
        bench = Bench()
        with self.opened(folder, space) as (sampler, _):
            for _ in range(1 + self.turns // self.batch):
                turns = bench.turn(sampler, self.batch)
                assert len(turns) <= self.batch
                assert all(turn.team in space for turn in turns)
                assert all(turn.blocks is None or turn.blocks > 0 for turn in turns)

    def test_the_users_teams_come_first_in_their_order(self, folder: Path) -> None:
        bench = Bench()
        with self.opened(folder, start=START) as (sampler, _):
            order: list[str] = []
            while len(order) < len(START):
                order += [team for team in teams_of(bench.turn(sampler, self.batch)) if team not in order]
        assert order[: len(START)] == [team.id for team in START]

    def test_no_more_teams_are_begun_than_may_be(self, folder: Path) -> None:
        bench = Bench()
        with self.opened(folder) as (sampler, _):
            for new_teams in (2, 1):
                before = len(bench.evidence.teams)
                bench.turn(sampler, 3, new_teams=new_teams)
                assert before < len(bench.evidence.teams) <= before + new_teams
            before = len(bench.evidence.teams)
            while bench.turn(sampler, 3, new_teams=0):
                assert len(bench.evidence.teams) == before
            assert len(bench.evidence.teams) == before

    def test_a_team_that_is_closed_gets_no_turn(self, folder: Path) -> None:
        bench = Bench()
        with self.opened(folder, SMALL) as (sampler, _):
            while turns := sampler.choose(bench.standing(), self.batch):
                assert not [turn for turn in turns if turn.team.id in bench.closed]
                assert len(set(teams_of(turns))) == len(turns)
                for turn in turns:
                    bench.run(turn)
                for turn in turns:
                    if turn.team.id in bench.closed:
                        sampler.tell(bench.outcome(turn.team))

    @pytest.mark.parametrize("most", [1, 3])
    def test_a_choice_depends_only_on_what_was_told(self, folder: Path, most: int) -> None:
        bench, again = Bench(), Bench()
        turns = self.turns // most
        straight = self.chosen_teams(folder / made(folder, "straight"), bench, turns, most)
        killed: list[str] = []
        killed_run = folder / made(folder, "killed")
        for _ in range(turns):
            with self.opened(killed_run) as (sampler, _):  # and the process is gone
                sampler.choose(again.standing(), most)
            killed += self.chosen_teams(killed_run, again, 1, most)
        assert killed == straight

    def test_a_kill_within_a_team_changes_nothing(self, folder: Path) -> None:
        bench, again = Bench(), Bench()
        straight = self.chosen_teams(folder / made(folder, "straight"), bench, self.turns)
        killed_run = folder / made(folder, "killed")
        killed: list[str] = []
        while len(killed) < len(straight):
            with self.opened(killed_run) as (sampler, _):
                (turn,) = sampler.choose(again.standing(), 1)
                if turn.blocks is None:
                    again.run_block(turn.team)  # its first block, and the process is gone
            killed += self.chosen_teams(killed_run, again, 1)
        assert killed == straight

    def test_a_team_that_was_closed_just_before_a_kill_is_told_all_the_same(self, folder: Path) -> None:
        bench = Bench()
        self.chosen_teams(folder, bench, 4)
        with self.opened(folder) as (sampler, _):
            (turn,) = sampler.choose(bench.standing(), 1)
            while turn.team.id not in bench.closed:
                bench.run_block(turn.team)  # and the process is gone
        with self.opened(folder) as (sampler, trials):
            assert turn.team.id not in trials.reported_teams
            bench.turn(sampler)
            assert turn.team.id in trials.reported_teams

    def test_the_first_of_a_choice_do_not_depend_on_how_many_follow(self, folder: Path) -> None:
        bench = Bench()
        self.chosen_teams(folder, bench, self.turns)
        found = []
        for most in (1, 2, 5):
            with self.opened(folder) as (sampler, _):
                found.append(teams_of(sampler.choose(bench.standing(), most)))
        assert found[0] == found[2][:1]
        assert found[1] == found[2][:2]

    def test_another_seed_chooses_other_teams(self, folder: Path) -> None:
        first = self.chosen_teams(folder / made(folder, "first"), Bench(), 6)
        other = self.chosen_teams(folder / made(folder, "other"), Bench(), 6, seed=2)
        assert first != other

    @pytest.mark.parametrize("space", [SMALL, Space({"single": {"model": Grid(("small",))}})], ids=["small", "one"])
    def test_it_ends_when_every_team_is_closed(self, folder: Path, space: Space) -> None:
        bench = Bench()
        with self.opened(folder, space) as (sampler, trials):
            for _ in range(10 * len(space)):
                if not bench.turn(sampler, self.batch):
                    break
            else:
                pytest.fail("it never ends")
            assert set(trials.reported_teams) == set(bench.closed)
            for team in space.teams():  # close the teams that the sampler has not chosen, too
                if team.id not in bench.closed:
                    bench.run(Turn(team=team))
                    sampler.tell(bench.outcome(team))
            assert sampler.choose(bench.standing(), self.batch) == []
            assert set(trials.reported_teams) == {team.id for team in space.teams()}
        with self.opened(folder, space) as (sampler, _):
            assert sampler.choose(bench.standing(), self.batch) == []

    @pytest.mark.parametrize("share", ["one model", "all"])
    def test_teams_that_fail_or_cannot_be_measured_are_survived(self, folder: Path, share: str) -> None:
        def bad(team: Team) -> bool:
            return share == "all" or "small" in team.knobs.values()

        for kind in ("unmeasurable", "failing"):
            bench = Bench(**{kind: bad})  # type: ignore[arg-type]
            with self.opened(folder / made(folder, kind), SMALL) as (sampler, trials):
                for _ in range(10 * len(SMALL)):
                    if not bench.turn(sampler, self.batch):
                        break
                else:
                    pytest.fail("it never ends")
                assert bench.closed
                assert set(trials.reported_teams) == set(bench.closed)


def made(folder: Path, name: str) -> str:
    """Make an empty folder in another folder, and return its name."""
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).mkdir()
    return name
