"""Whether a front can be believed: whole simulated studies against the truth that the generator knows.

    python -m benchmarks.search.honesty [--studies 200] [--jobs 2]

Each seed is a world of its own (see ``simulation``), with these studies, all by the product's tuner:

- the same study with a budget of 300, 600 and 1200 calls, engines sound: same answers, seconds, joules and seed;
- the two smaller ones once more with other random choices of the sampler: how far apart equal budgets come out;
- 900 calls with a failing engine that looks better than all others, a fault after the other from seed to seed;
- every team of the space begun in random order, none chosen: what racing stops.

Asked is (a) how often the 95 % intervals of confirmed values hold the truth, (b) how many members of the true front
that were begun were stopped as beaten, (c) on how many fronts a failing engine stands, (d) whether more calls make a
front that is truly worse. Written is ``results/search-honesty-DATE.json``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from orkester.evals.stats.intervals import wilson
from orkester.serving import machine

from . import simulation
from .measures import OBJECTIVES
from .run import RESULTS, versions
from .simulation import BROKEN, FAULTS, Plan
from .studies import BUDGETS, Record, one, plans

#: Share of the whole grid's hypervolume beyond which a front counts as worse.
NOISE: Final = 0.02
RESAMPLES: Final = 4000


def share(of: Sequence[tuple[int, int]], *, seed: int = 0) -> Record:
    """A share over studies.

    Args:
        of: by study, how many there are and in how many it is so.
        seed: of the bootstrap.

    Returns:
        With Wilson's interval, as though all were independent, and the bootstrap's over studies, whose teams share
        their examples.
    """
    counts = np.array(of, dtype=float).reshape(-1, 2)
    n, so = counts.sum(axis=0)
    if not n:
        return {"n": 0, "share": None, "wilson": None, "bootstrap": None}
    drawn = counts[np.random.default_rng(seed).integers(0, len(counts), (RESAMPLES, len(counts)))].sum(axis=1)
    drawn = drawn[drawn[:, 0] > 0]
    return {
        "n": int(n),
        "count": int(so),
        "share": round(so / n, 4),
        "wilson": [round(end, 4) for end in wilson(int(so), int(n))],
        "bootstrap": [round(float(end), 4) for end in np.quantile(drawn[:, 1] / drawn[:, 0], [0.025, 0.975])],
    }


def coverage(
    studies: Sequence[Record], phase: str, which: Callable[[Sequence[Record], str], Sequence[Record]]
) -> dict[str, Record]:
    """How often intervals hold the truth, by objective and over all.

    Args:
        studies: records.
        phase: ``confirmed`` or ``search``.
        which: of a study's teams, for an objective.
    """
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in OBJECTIVES}
    sides = {name: [0, 0] for name in OBJECTIVES}
    for study in studies:
        for name in OBJECTIVES:
            places = [team[phase][name][1] for team in which(study["intervals"], name) if name in team[phase]]
            found[name].append((len(places), sum(place == 0 for place in places)))
            sides[name][0] += sum(place < 0 for place in places)
            sides[name][1] += sum(place > 0 for place in places)
    every = [tuple(map(sum, zip(*each, strict=True))) for each in zip(*found.values(), strict=True)]
    shares = {name: {**share(each), "below": sides[name][0], "above": sides[name][1]} for name, each in found.items()}
    return {**shares, "all": share(every)}  # type: ignore[arg-type]


def _everyone(teams: Sequence[Record], _: str) -> Sequence[Record]:
    return teams


def _front(teams: Sequence[Record], _: str) -> Sequence[Record]:
    return [team for team in teams if team["front"]]


def _clear_early(teams: Sequence[Record], _: str) -> Sequence[Record]:
    return [team for team in teams if team["examples"] < Plan.held_out]


def _winner(by: str) -> Callable[[Sequence[Record], str], Sequence[Record]]:
    """The member of the front that looks best in an objective, by its values of that phase."""

    def best(teams: Sequence[Record], name: str) -> Sequence[Record]:
        members = [team for team in teams if team["front"] and name in team[by]]
        sign = -1 if name == "quality" else 1
        return sorted(members, key=lambda team: sign * team[by][name][0])[:1]

    return best


def calibration(studies: Sequence[Record]) -> dict[str, Record]:
    """Of confirmed teams, by their stated probability of being on the front: how many are, of those confirmed."""
    teams = [[team for team in study["intervals"] if team["probability"] is not None] for study in studies]
    found = {}
    for low, high in itertools.pairwise((0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.01)):
        within = [[team for team in each if low <= team["probability"] < high] for each in teams]
        stated = [team["probability"] for each in within for team in each]
        found[f"{low:g} to {min(high, 1):g}"] = {
            "stated": round(float(np.mean(stated)), 4) if stated else None,
            **share([(len(each), sum(team["unbeaten"] for team in each)) for each in within]),
            "with_ties": share([(len(each), sum(team["ahead"] for team in each)) for each in within]),
        }
    return found


def compared(less: Sequence[float], more: Sequence[float], *, seed: int = 0) -> Record:
    """What more calls add to the value of a front, seed by seed."""
    gains = np.array(more) - np.array(less)
    drawn = gains[np.random.default_rng(seed).integers(0, len(gains), (RESAMPLES, len(gains)))].mean(axis=1)
    worse = int((gains < -NOISE).sum())
    return {
        "mean_gain": round(float(gains.mean()), 4),
        "mean_gain_95": [round(float(end), 4) for end in np.quantile(drawn, [0.025, 0.975])],
        "median_gain": round(float(np.median(gains)), 4),
        "worst": round(float(gains.min()), 4),
        "worse": worse,
        "worse_share": round(worse / len(gains), 4),
        "worse_wilson": [round(end, 4) for end in wilson(worse, len(gains))],
        "better": int((gains > NOISE).sum()),
        "n": len(gains),
    }


def figures(found: Mapping[int, Mapping[str, Record]]) -> Record:
    """Everything that is said, from the records by seed and study."""

    def of(name: str) -> list[Record]:
        return [found[seed][name] for seed in sorted(found)]

    def values(name: str, key: str = "value") -> list[float]:
        return [each[key] for each in of(name)]

    def dropped(name: str) -> Record:
        races = [each["racing"] for each in of(name)]
        return {
            "teams_stopped_as_beaten": sum(race["stopped"] for race in races),
            "by_a_team_that_does_not_truly_beat_them": sum(race["wrong"] for race in races),
            "true_front": share([(race["members"], race["members_stopped"]) for race in races]),
            "unbeaten_among_those_begun": share([(race["unbeaten"], race["unbeaten_stopped"]) for race in races]),
        }

    every = [str(calls) for calls in BUDGETS]
    steps = [*itertools.pairwise(every), (every[0], every[-1])]
    faulty = {fault: [each for each in of("faulty") if each["fault"] == fault] for fault in FAULTS}
    return {
        "coverage": {
            "front": coverage(of(every[-1]), "confirmed", _front),
            "all_confirmed": coverage(of(every[-1]), "confirmed", _everyone),
            "clear_before_the_end": coverage(of(every[-1]), "confirmed", _clear_early),
            "winners_by_search": coverage(of(every[-1]), "confirmed", _winner("search")),
            "winners_by_confirmation": coverage(of(every[-1]), "confirmed", _winner("confirmed")),
            "search_values_of_the_front": coverage(of(every[-1]), "search", _front),
            **{f"front_{name}_calls": coverage(of(name), "confirmed", _front) for name in every[:-1]},
            "front_beside_a_failing_engine": coverage(of("faulty"), "confirmed", _front),
        },
        "front_probability": calibration(of(every[-1])),
        "dropped": {name: dropped(name) for name in (*every, "all")},
        "failing": {
            fault: {
                "studies": len(each),
                "fronts_with_a_team_that_was_seen_to_fail": sum(bool(study["failing_on_front"]) for study in each),
                "fronts_with_one_that_was_not": sum(bool(study["unseen_on_front"]) for study in each),
                "examples_of_these": sorted(count for study in each for count in study["unseen_on_front"]),
                "empty_fronts": sum(not study["front"] for study in each),
                "median_value": round(float(np.median([study["value"] for study in each])), 4),
            }
            for fault, each in faulty.items()
            if each
        },
        "more_budget": {
            "value": {name: round(float(np.mean(values(name))), 4) for name in every},
            **{
                kind: {
                    **{f"{less} to {more}": compared(values(less, key), values(more, key)) for less, more in steps},
                    **{f"{n} again": compared(values(n, key), values(f"{n} again", key)) for n in every[:-1]},
                }
                for kind, key in (("front", "value"), ("likely_members", "value_likely"))
            },
        },
        "cpu_s": {name: round(sum(values(name, "cpu_s")), 1) for name in found[min(found)]},
        "confirmed_examples_mean": round(
            float(np.mean([team["examples"] for each in of(every[-1]) for team in each["intervals"]] or [0])), 1
        ),
    }


def report(result: Mapping[str, Any]) -> str:
    """The figures as text."""
    studies = len(result["seeds"])
    lines = [f"{studies} worlds", f"{'95 % intervals':34}" + "".join(f"{name:>22}" for name in (*OBJECTIVES, "all"))]
    for which, found in result["coverage"].items():
        lines.append(f"{which:34}" + "".join(f"{_percent(found[name]):>22}" for name in (*OBJECTIVES, "all")))
    lines.append("stated probability of being on the front; how often it is so; the same with teams that tie")
    for which, found in result["front_probability"].items():
        if found["n"]:
            shares = _percent(found), _percent(found["with_ties"])
            lines.append(f"{which:14} {100 * found['stated']:.1f}; {'; '.join(shares)}; {found['n']} teams")
    lines.append("stopped as beaten: calls, teams, wrongly; of the true front; of the unbeaten")
    for name, found in result["dropped"].items():
        counts = f"{found['teams_stopped_as_beaten']}, {found['by_a_team_that_does_not_truly_beat_them']}"
        lines.append(
            f"{name:>6}  {counts}; {_count(found['true_front'])}; {_count(found['unbeaten_among_those_begun'])}"
        )
    lines.append("failing engine: studies; fronts with a team seen to fail; with one that was not; empty; median value")
    for fault, found in result["failing"].items():
        seen, unseen = found["fronts_with_a_team_that_was_seen_to_fail"], found["fronts_with_one_that_was_not"]
        lines.append(
            f"{fault:22} {found['studies']}; {seen}; {unseen}; {found['empty_fronts']}; {found['median_value']:.3f}"
        )
    values = ", ".join(f"{name}: {value:.3f}" for name, value in result["more_budget"]["value"].items())
    lines.append(f"more budget, value of the front by truth; mean {values}")
    for kind in ("front", "likely_members"):
        for step, found in result["more_budget"][kind].items():
            low, high = found["mean_gain_95"]
            lines.append(
                f"{kind:16}{step:14} {found['mean_gain']:+.3f} ({low:+.3f} to {high:+.3f}), worst"
                f" {found['worst']:+.3f}; over {NOISE:.0%} worse in {found['worse']}, better in {found['better']} of"
                f" {found['n']}"
            )
    return "\n".join(lines)


def _percent(found: Record) -> str:
    if found["share"] is None:
        return "–"
    low, high = found["bootstrap"]
    return f"{100 * found['share']:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def _count(found: Record) -> str:
    if found["share"] is None:
        return "none"
    return f"{found['count']} of {found['n']}, at most {100 * found['wilson'][1]:.1f} %"


def run_all(seeds: Sequence[int], *, jobs: int) -> dict[int, dict[str, Record]]:
    """All studies of all seeds; what ran is told on the way."""
    found: dict[int, dict[str, Record]] = {}
    with ProcessPoolExecutor(jobs) as pool:
        for seed, studies in zip(seeds, pool.map(one, seeds), strict=True):
            found[seed] = studies
            print(
                f"seed {seed}: {sum(each['cpu_s'] for each in studies.values()):.1f} CPU s", file=sys.stderr, flush=True
            )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200, help="worlds; their seeds are 0, 1, …")
    parser.add_argument("--jobs", type=int, default=machine.usable_threads())
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder")
    given = parser.parse_args(arguments)
    if given.studies < 1:
        parser.error("--studies must be 1 or more")
    seeds = list(range(given.studies))
    found = run_all(seeds, jobs=given.jobs)
    day = datetime.now(UTC).date().isoformat()
    example = plans(0)["300"]
    result = {
        "what": "whole simulated studies against known truth: coverage of confirmed intervals, members of the true "
        "front that were stopped, failing engines on the front, fronts by budget",
        "date": day,
        "command": f"python -m benchmarks.search.honesty --studies {given.studies} --jobs {given.jobs}",
        "seeds": seeds,
        "teams": {"sound": len(simulation.space(simulation.MODELS)), "with_the_failing_engine": len(_faulty_space())},
        "examples": {"search": example.examples, "held_out": example.held_out, "block": simulation.BLOCK},
        "budgets": list(BUDGETS),
        "noise": NOISE,
        "machine": {"cpu": machine.cpu_model(), "threads": machine.usable_threads()},
        "versions": versions(),
        **figures(found),
        "by_seed": {
            name: {
                key: [found[seed][name][key] for seed in seeds]
                for key in ("fault", "reason", "sent", "begun", "front", "value", "value_likely")
            }
            for name in found[0]
        },
    }
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / f"search-honesty-{day}.json"
    path.write_text(_written(result), encoding="utf-8")
    print(report(result))
    print(f"written: {path}")


def _written(result: Mapping[str, Any]) -> str:
    """As JSON, lists of plain values in a line each."""
    lists = re.compile(r"\[\s+[^\[\]{}]*?\s+\]")
    return lists.sub(lambda found: " ".join(found[0].split()), json.dumps(result, indent=1)) + "\n"


def _faulty_space() -> Any:
    return simulation.space((*simulation.MODELS, BROKEN))


if __name__ == "__main__":
    main()
