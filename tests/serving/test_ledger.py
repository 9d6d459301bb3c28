"""Memory that engines share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orkester.serving.engines import Footprint
from orkester.serving.ledger import Capacity, MemoryLedger

GIB = 2**30
SIZES = st.integers(0, 50)


def sleeper(device: int, host: int = 1) -> Footprint:
    return Footprint(
        device_bytes=device * GIB, host_bytes=host * GIB, asleep_device_bytes=GIB // 2, asleep_host_bytes=5 * GIB
    )


@given(st.lists(SIZES, max_size=6), SIZES, SIZES)
def test_what_is_held_and_what_is_wanted_never_exceed_what_there_is(held: list[int], wanted: int, there: int) -> None:
    ledger: MemoryLedger[int] = MemoryLedger(Capacity(device_bytes=there))
    for holder, size in enumerate(held):
        ledger.hold(holder, Footprint(device_bytes=size))
    assert ledger.has_room_for([Footprint(device_bytes=wanted)]) == (sum(held) + wanted <= there)
    for holder in range(len(held)):
        ledger.release(holder)
    assert ledger.has_room_for([Footprint(device_bytes=wanted)]) == (wanted <= there)


def test_host_memory_counts_by_itself() -> None:
    ledger: MemoryLedger[str] = MemoryLedger(Capacity(device_bytes=100, host_bytes=10))
    assert ledger.has_room_for([Footprint(device_bytes=100, host_bytes=10)])
    assert not ledger.has_room_for([Footprint(host_bytes=11)])
    assert not ledger.has_room_for([Footprint(device_bytes=101)])


def test_nothing_known_is_no_limit() -> None:
    assert MemoryLedger[str](Capacity()).has_room_for([Footprint(device_bytes=10**15, host_bytes=10**15)])


def test_a_sleeper_holds_what_it_keeps() -> None:
    ledger: MemoryLedger[str] = MemoryLedger(Capacity(device_bytes=10 * GIB, host_bytes=8 * GIB))
    ledger.hold("a", sleeper(8))
    assert not ledger.has_room_for([sleeper(8)])
    ledger.hold("a", sleeper(8), asleep=True)
    assert ledger.has_room_for([sleeper(8)])
    assert not ledger.has_room_for([sleeper(10)])  # half a GiB stays
    assert ledger.has_room_for([sleeper(10)], without=["a"])


def test_sleep_needs_room_in_the_hosts_memory() -> None:
    ledger: MemoryLedger[str] = MemoryLedger(Capacity(device_bytes=20 * GIB, host_bytes=8 * GIB))
    ledger.hold("a", sleeper(8))
    ledger.hold("b", sleeper(8))
    ledger.hold("stays", Footprint(device_bytes=GIB))
    assert ledger.can_sleep("a")
    ledger.hold("a", sleeper(8), asleep=True)
    assert not ledger.can_sleep("b")  # 5 + 5 GiB are more than 8
    assert not ledger.can_sleep("stays")


@pytest.mark.parametrize(
    ("footprints", "message"),
    [
        ([Footprint(device_bytes=4 * GIB)], ""),
        (
            [Footprint(device_bytes=6 * GIB, parts={"weights": 5 * GIB, "key-value cache": GIB})] * 2,
            "12.0 GiB of GPU memory needed (weights 10.0 GiB, key-value cache 2.0 GiB), 10.0 GiB available",
        ),
        ([Footprint(host_bytes=3 * GIB)], "3.0 GiB of memory needed, 2.0 GiB available"),
    ],
)
def test_what_lacks_is_said_in_words(footprints: list[Footprint], message: str) -> None:
    ledger: MemoryLedger[str] = MemoryLedger(Capacity(device_bytes=10 * GIB, host_bytes=2 * GIB))
    assert ledger.shortage(footprints) == message
