"""The contract of samplers, for every one that comes with Orkester."""

import pytest

from orkester.optim.search.samplers import SAMPLERS, Sampler, Setting
from orkester.optim.search.trials import Trials
from orkester.testing.sampler_contract import SamplerContract


class TestEhvi(SamplerContract):
    name = "ehvi"


class TestGrid(SamplerContract):
    name = "grid"


class TestTpe(SamplerContract):
    name = "tpe"


class TestRandom(SamplerContract):
    name = "random"


class TestNsga2(SamplerContract):
    name = "nsga2"
    turns = 14

    def make(self, setting: Setting, trials: Trials) -> Sampler:
        """With generations so small that the third is reached."""
        from orkester.optim.search.samplers.nsga2 import with_population

        return with_population(6)(setting, trials)


class TestNsga3(SamplerContract):
    name = "nsga3"
    turns = 14

    def make(self, setting: Setting, trials: Trials) -> Sampler:
        """With generations so small that the third is reached."""
        from orkester.optim.search.samplers.nsga3 import with_population

        return with_population(6)(setting, trials)


class TestGp(SamplerContract):
    name = "gp"

    @pytest.fixture(autouse=True)
    def _needs(self) -> None:
        pytest.importorskip("torch", reason="gp needs torch")


def test_every_sampler_that_comes_with_orkester_is_held_to_the_contract() -> None:
    assert {kind.name for kind in SamplerContract.__subclasses__()} == set(SAMPLERS.names())
