"""Confirmation of studies whose truth is known: whether intervals hold, and what it costs to be clear."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from measured_rows import rng
from scipy.special import ndtri

from orkester.evals.objectives import Direction
from orkester.evals.stats.intervals import mean_interval, quantile_interval, ratio_interval, wilson
from orkester.evals.stats.rows import Rows
from orkester.optim.confirm.next_block import next_block
from orkester.optim.confirm.winners_curse import winners_curse
from orkester.optim.goals.front_probability import CLEAR, front_probability, near_members

BLOCK = 8
OBJECTIVES: Mapping[str, Direction] = {"quality": "maximize", "latency_p50_s": "minimize", "energy_j": "minimize"}


class Study:
    """Teams with known truth: quality, median latency, mean joules, all with the examples' difficulty in common."""

    def __init__(self, seed: int, teams: int = 20) -> None:
        self.rng = np.random.default_rng(seed)
        grade = self.rng.uniform(0, 1, teams)
        effort = grade + self.rng.uniform(0, 0.8, teams)  # a better team costs more, some cost more for nothing
        self.quality = 0.35 + 0.58 * grade
        self.latency_s = np.exp(1.5 * effort)
        self.energy_j = 3 * np.exp(1.2 * effort + self.rng.normal(0, 0.2, teams))
        self.sigma = self.rng.uniform(0.2, 0.7, teams)

    def rows(self, n: int) -> dict[str, Rows]:
        """Fresh examples and samples; latency has σ up to 0.7, joules are metered by block."""
        difficulty = self.rng.normal(size=n)
        sizes = tuple(min(BLOCK, n - start) for start in range(0, n, BLOCK))
        found = {}
        for team in range(len(self.quality)):
            # A Gaussian copula keeps each team's share exactly as it is.
            latent = 0.6 * difficulty + 0.8 * self.rng.normal(size=n)
            score = latent < ndtri(self.quality[team])
            sigma = self.sigma[team]
            logs = sigma * (0.5 * difficulty + math.sqrt(0.75) * self.rng.normal(size=n))
            per_example = self.energy_j[team] * np.exp(logs - sigma * sigma / 2)
            blocks = [per_example[start : start + BLOCK].mean() for start in range(0, n, BLOCK)]
            found[str(team)] = Rows(
                columns={
                    "score": score * 1.0,
                    "latency_s": self.latency_s[team] * np.exp(logs),
                    "energy_j": np.repeat(blocks, sizes),
                },
                block_sizes=sizes,
            )
        return found

    def on_front(self, team: int, among: list[int]) -> bool:
        worse = [
            other
            for other in among
            if self.quality[other] >= self.quality[team]
            and self.latency_s[other] <= self.latency_s[team]
            and self.energy_j[other] <= self.energy_j[team]
            and other != team
        ]
        return not worse


def first(team: Rows, n: int) -> Rows:
    kept = tuple(size for size, end in zip(team.block_sizes, np.cumsum(team.block_sizes), strict=True) if end <= n)
    return Rows(columns={k: v[:n] for k, v in team.columns.items()}, block_sizes=kept)


def covered(study: Study, team: int, confirmed: Rows) -> dict[str, bool]:
    """Whether each confirmed interval holds the truth."""
    score, latency = confirmed.columns["score"], confirmed.columns["latency_s"]
    starts = np.cumsum([0, *confirmed.block_sizes[:-1]])
    totals = np.add.reduceat(confirmed.columns["energy_j"], starts).tolist()
    sigma, median = study.sigma[team], study.latency_s[team]
    ends = {
        "quality": (wilson(int(score.sum()), len(score)), study.quality[team]),
        "latency_p50_s": (quantile_interval(latency.tolist(), 0.5), median),
        "latency_p95_s": (quantile_interval(latency.tolist(), 0.95), median * math.exp(1.64485 * sigma)),
        "latency_mean_s": (mean_interval(latency.tolist()), median * math.exp(sigma * sigma / 2)),
        "energy_j": (ratio_interval(totals, confirmed.block_sizes), study.energy_j[team]),
    }
    found = {}
    for name, (interval, truth) in ends.items():
        low, high = interval or (None, None)
        found[name] = (low is None or low <= truth) and (high is None or truth <= high)
    return found


@pytest.mark.parametrize("n", [20, 40, 60, 124])
def test_confirmed_intervals_of_a_searched_front_cover_the_truth(n: int) -> None:
    """200 studies; the front is chosen for its luck on 40 examples of the search, then measured on n others.

    Found for 20, 40, 60 and 124 in per cent: quality 96, 94, 96, 94; median latency 93, 95, 95, 96; p95 97, 98, 98, 95
    (without an upper end below 72, so that 97.5 are meant); mean latency 94, 95, 94, 95; joules 95, 93, 93, 95.
    """
    kept: dict[str, list[bool]] = {}
    for seed in range(200):
        study = Study(seed, teams=8)
        members = [team for team, p in near_members(study.rows(40), OBJECTIVES, level=0.499).items() if p == 1.0]
        confirmed = study.rows(n)
        for team in members:
            for name, holds in covered(study, int(team), confirmed[team]).items():
                kept.setdefault(name, []).append(holds)
    shares = {name: float(np.mean(values)) for name, values in kept.items()}
    assert 0.93 <= np.mean(list(shares.values())) <= 0.975, shares
    # Members of a study share examples, so the count is as good as some 400 independent ones: 1.1 % each way.
    assert all(0.915 <= share <= 0.985 for share in shares.values()), shares


def confirm(seed: int, blocks: int) -> tuple[Study, dict[str, Rows], dict[str, float], int]:
    """Search on 40 examples, then confirm block by block until it is clear; and how many blocks that took."""
    study = Study(seed, teams=12)
    near = near_members(study.rows(40), OBJECTIVES)
    held_out = study.rows(blocks * BLOCK)
    cost = {team: float(study.energy_j[int(team)]) for team in near}
    got: dict[str, Rows] = {}
    probability = dict.fromkeys(near, 0.5)
    used = 0
    while True:
        left = {team: blocks - (len(got[team].block_sizes) if team in got else 0) for team in near}
        team = next_block(got, probability, left, cost)
        if team is None:
            return study, got, probability, used
        used += 1
        got[team] = first(held_out[team], (got[team].n if team in got else 0) + BLOCK)
        if len(got) == len(near):
            probability = front_probability(got, OBJECTIVES, rng(seed), draws=250)


def test_confirmation_spares_blocks_and_what_it_calls_clear_is_so() -> None:
    """In 30 studies, full of teams that are nearly alike, 90 % of 12 blocks a team were used.

    Of the teams with a probability under 0.05 1 % were on the true front, 0.05 to 0.3 34 %, to 0.7 57 %, to 0.95 88 %,
    over 0.95 99 %.
    """
    in_doubt: list[bool] = []
    on: list[bool] = []
    off: list[bool] = []
    used = whole = 0
    for seed in range(6):
        study, got, probability, blocks = confirm(seed, 12)
        used, whole = used + blocks, whole + 12 * len(probability)
        for team, p in probability.items():
            truth = study.on_front(int(team), [int(other) for other in probability])
            (off if p <= CLEAR[0] else on if p >= CLEAR[1] else in_doubt).append(truth)
            # Only one that is used up may stay in doubt; every team has blocks enough for a spread.
            assert len(got[team].block_sizes) >= 3
    assert used < 0.97 * whole
    assert len(on) + len(off) > 0.4 * (len(on) + len(off) + len(in_doubt))
    assert np.mean(on) > 0.93
    assert np.mean(off) < 0.15


def test_the_winners_curse_is_seen_where_there_is_one_and_its_intervals_hold_where_there_is_none() -> None:
    """Found in 150 studies: intervals cover 94, 98 and 96 %; a chosen front flatters its quality by 1.7 points."""
    none: dict[str, list[bool]] = {}
    chosen: list[float] = []
    for seed in range(60):
        study = Study(seed, teams=12)
        search, confirmed = study.rows(40), study.rows(64)
        for each in winners_curse(search, confirmed, OBJECTIVES, rng(seed), draws=500)[0]:
            none.setdefault(each.objective, []).append(each.low <= 0 <= each.high)
        members = [team for team, p in near_members(search, OBJECTIVES, level=0.499).items() if p == 1.0]
        front = {team: search[team] for team in members}
        chosen.append(winners_curse(front, confirmed, OBJECTIVES, rng(seed), draws=500)[1][0].optimism)
    assert all(0.91 <= np.mean(holds) <= 0.99 for holds in none.values())
    assert np.mean(chosen) > 0.005
