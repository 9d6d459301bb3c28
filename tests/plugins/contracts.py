"""The plug-ins keep the contracts. Run by pytest where the package is installed: see tests/test_plugins.py."""

from collections.abc import Callable
from pathlib import Path

import pytest
from orkester_plugins.parrot import Parrot
from orkester_plugins.wall_clock import WallClock

from orkester.serving.catalogue import Model
from orkester.serving.energy import Meter, MeterRequest
from orkester.serving.engines import Engine
from orkester.testing import (
    Case,
    ChatCall,
    EngineContract,
    MeterContract,
    ObjectiveContract,
    RoutingContract,
    SamplerContract,
    ScorerContract,
    ToolContract,
    TopologyContract,
)
from orkester.testing.meter_contract import Clock


def different(asked: ChatCall) -> str:
    return f"{asked.agent} on {asked.model}"


class TestSecondLook(TopologyContract):
    name = "second-look"
    cases = (
        Case({"small": "small", "large": "large", "routing": "by-length"}, {"small": 2}),
        Case({"small": "large", "large": "small", "routing": "always-first"}, {"large": 2}, different),
    )


class TestPrefix(ScorerContract):
    name = "prefix"
    spec = "prefix"
    rights = ("Oslo", 12, "a long answer that goes on and on")
    same = (("Oslo", "oslo."),)
    wrong = "Bergen"


class TestParrot(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def make(cls) -> Callable[[], Engine]:
        return Parrot

    @pytest.fixture
    def broken(self, model: Model) -> tuple[Engine, Model, Path | None]:
        return Parrot(broken=True), model, None


class TestWallClock(MeterContract):
    method = "wall-clock"
    domains = frozenset({"host"})

    @pytest.fixture
    def meter(self, clock: Clock) -> Meter:
        return WallClock(MeterRequest(gpus=False, clock=clock))


class TestInOrder(SamplerContract):
    name = "in-order"


class TestEarlyTpe(SamplerContract):
    name = "early-tpe"


class TestByLength(RoutingContract):
    name = "by-length"


class TestAdder(ToolContract):
    name = "adder"
    works = (({"numbers": [2, 3]}, "5"), ({"numbers": []}, "0"))
    refuses = ({}, {"numbers": "2, 3"})


class TestTotalTokens(ObjectiveContract):
    name = "total_tokens"
