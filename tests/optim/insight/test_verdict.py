"""The verdict of a run, from records: which differences are shown, and what is said about them."""

import re
from collections.abc import Sequence
from dataclasses import replace

from orkester.evals.records.block import Block, Phase
from orkester.evals.summaries.baselines import Baseline
from orkester.graphs import Team
from orkester.optim.insight.choosing import best
from orkester.optim.run.results import Results, results
from orkester.testing.blocks import block, result

PHASES: Sequence[Phase] = ("search", "confirm")
OBJECTIVES = {"quality": "maximize", "latency_mean_s": "minimize"}
SINGLE = Team("single", {"model": "small", "temperature": 0.0})
VOTE = Team("vote", {"agents": 5, "model": "small", "temperature": 0.5})
ROUTER = Team("debate", {"agents": 2, "rounds": 1, "model": "small", "temperature": 0.5})


def blocks(team: Team, right: Sequence[int], latency_s: float, trial: int, phase: str = "search") -> list[Block]:
    """Blocks of ten examples, each right (1) or wrong (0)."""
    made = []
    for index in range(0, len(right), 10):
        examples = tuple(
            result(i, id=f"{phase}{i}", score=float(right[i]), latency_s=latency_s + 0.001 * i)
            for i in range(index, min(index + 10, len(right)))
        )
        made.append(
            block(
                team=team.id,
                topology=team.topology,
                knobs=dict(team.knobs),
                examples=examples,
                index=index // 10,
                trial=trial,
                phase=phase,
            )
        )
    return made


def found(
    *teams: tuple[Team, Sequence[int], float], confirmed: Sequence[tuple[Team, Sequence[int], float]] = ()
) -> Results:
    records = [each for i, (team, right, s) in enumerate(teams) for each in blocks(team, right, s, i)]
    records += [each for i, (team, right, s) in enumerate(confirmed) for each in blocks(team, right, s, i, "confirm")]
    sizes = {"search": len(teams[0][1]), "confirm": len(confirmed[0][1]) if confirmed else 40}
    return results(records, OBJECTIVES, {}, sizes)  # type: ignore[arg-type]


def shares(right: int, of: int) -> list[int]:
    """Right answers spread over the examples, the same ones first for every team."""
    return [int(i * 7 % of < right) for i in range(of)]


def test_a_cheaper_team_that_cannot_be_told_from_the_best_is_recommended() -> None:
    run = found((SINGLE, shares(36, 40), 1.0), (VOTE, shares(38, 40), 5.0))
    chosen = best(run)
    assert chosen.result.team == SINGLE
    assert chosen.verdict is not None
    assert chosen.verdict.best.team == VOTE
    assert not chosen.verdict.told_apart
    assert [each.team for each in chosen.unclear] == [VOTE]
    assert chosen.why.startswith("One agent is enough: single: model=small, temperature=0.0 has quality 0.9 [")
    assert "on 40 examples of the search. " in chosen.why
    lacks = chosen.verdict.lacks
    assert lacks is not None
    assert lacks.low < lacks.value < 0 < lacks.high
    assert "Its quality cannot be told from the best one, -0.05 [" in chosen.why
    assert "which takes 4.9 [4.9, 4.9] × the latency_mean_s." in chosen.why


def test_a_team_that_is_shown_to_be_better_is_worth_its_costs() -> None:
    run = found((SINGLE, shares(20, 40), 1.0), (VOTE, shares(38, 40), 5.0))
    chosen = best(run)
    assert chosen.result.team == VOTE
    assert chosen.against is not None
    gain = chosen.against.difference
    assert gain is not None
    assert 0 < gain.low < gain.value < gain.high
    assert "+0.45 [+0.2" in chosen.why
    assert "compared with the best single agent, single: model=small, temperature=0.0. " in chosen.why
    assert "It takes 4.9 [4.9, 4.9] × the latency_mean_s of that agent" in chosen.why


def test_a_gain_that_is_not_shown_is_said() -> None:
    run = found((ROUTER, shares(30, 40), 0.5), (SINGLE, shares(28, 40), 1.0))
    chosen = best(run)
    assert chosen.result.team == ROUTER
    assert "that the team is better is not shown." in chosen.why


TEAMS = ((SINGLE, shares(20, 40), 1.0), (VOTE, shares(30, 40), 5.0), (ROUTER, shares(39, 40), 9.0))
CONFIRMED = ((SINGLE, shares(10, 40), 1.0), (VOTE, shares(38, 40), 5.0), (ROUTER, shares(30, 40), 9.0))


def test_confirmed_values_decide_when_all_candidates_have_them() -> None:
    chosen = best(found(*TEAMS, confirmed=CONFIRMED))
    assert chosen.result.team == VOTE
    assert chosen.phase == "confirm"
    assert "on 40 held-out examples" in chosen.why


def test_in_the_middle_of_confirmation_the_values_of_the_search_decide() -> None:
    """Otherwise a bad team that was confirmed first would be recommended for want of others."""
    chosen = best(found(*TEAMS, confirmed=CONFIRMED[:2]))
    assert chosen.result.team == ROUTER
    assert chosen.phase == "search"
    assert "on 40 examples of the search" in chosen.why


def test_the_same_records_give_the_same_verdict() -> None:
    one, other = (best(found((SINGLE, shares(36, 40), 1.0), (VOTE, shares(38, 40), 5.0))).as_json() for _ in range(2))
    assert one == other


def guess(right: int, of: int = 40) -> Baseline:
    return Baseline(
        name="constant answer 'no'", scores={phase: [float(i < right) for i in range(of)] for phase in PHASES}
    )


def test_a_front_that_cannot_be_told_from_a_constant_answer_is_no_better_than_guessing() -> None:
    run = replace(found((SINGLE, shares(20, 40), 1.0), (VOTE, shares(22, 40), 5.0)), baselines=[guess(21)])
    chosen = best(run)
    assert chosen.why.startswith(
        f"No team is shown to be better than guessing: the best one, {VOTE}, has quality 0.55 ["
    )
    assert re.search(
        r" on 40 examples of the search, \+0\.025 \[-0\.\d+, \+0\.\d+\] compared with the constant answer 'no'\. ",
        chosen.why,
    )
    assert chosen.verdict is not None
    assert chosen.verdict.guess is not None
    assert chosen.verdict.guess.difference.low < 0 < chosen.verdict.guess.difference.high
    assert any("It is not shown to be better than guessing" in doubt for doubt in chosen.doubts)


def test_a_front_that_is_better_than_guessing_says_nothing_of_it() -> None:
    run = replace(found((SINGLE, shares(38, 40), 1.0), (VOTE, shares(39, 40), 5.0)), baselines=[guess(21)])
    chosen = best(run)
    assert "guess" not in chosen.why
    assert not any("guess" in doubt for doubt in chosen.doubts)


def test_the_smallest_difference_that_would_be_shown_is_a_doubt_where_nothing_was_shown() -> None:
    few, many = (
        best(found((SINGLE, shares(n * 18 // 20, n), 1.0), (VOTE, shares(n * 18 // 20 + 1, n), 5.0))) for n in (40, 400)
    )
    doubts = [next(doubt for doubt in each.doubts if "80 % power" in doubt) for each in (few, many)]
    least = [float(doubt.split("about ")[1].split()[0]) for doubt in doubts]
    assert least[0] > 1.5 * least[1] > 0
