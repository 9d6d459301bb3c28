"""Records the calls of a table with real engines; stops and goes on at any time.

    .venv/bin/python -m benchmarks.search.record arithmetic            records what is missing, then writes tables/
    .venv/bin/python -m benchmarks.search.record arithmetic --compact  writes what there is so far

Calls are made in blocks of one model, all its temperatures and some examples; ``in_flight`` requests are under way at
any time. A block's joules are shared among its calls as a study's are. Votes, cascades and single agents need only
answers to the question alone; later rounds of debates are asked with the drafts that were recorded before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from orkester.agents.packs import known_roles
from orkester.errors import CallFailed, EngineError
from orkester.evals.records.block import Call, ExampleResult
from orkester.evals.running.energy import TimedResult, share_energy
from orkester.evals.running.runner import derive_seed
from orkester.evals.task import Example
from orkester.optim.run.directory import versions
from orkester.optim.session.back_end import back_end, open_pool, shots_as_messages
from orkester.serving import machine
from orkester.serving.catalogue import Catalogue
from orkester.serving.chat import ChatModel, Message, Reply
from orkester.serving.energy import Sampler, window
from orkester.serving.pool import Pool

from .plan import HERE, RECIPES, Block, Plan, Seat
from .recording import COLUMNS, TABLES, Recording, write

ROOT = HERE.parents[1]
_TRIES = 3


class Drafts:
    """Answers that were recorded so far."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, int, float, int, str, int], str] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Remember a block's answers."""
        if row["repetition"] == 0:
            for call in row["calls"]:
                seat = call["temperature"], call["agents"], call["example"], call["sample"]
                self._said[row["model"], row["stage"], *seat] = call["answer"]

    def of(self, block: Block, seat: Seat, example: str, other: int) -> str:
        """What a debater said in the round before; the opening is the same for any number of agents."""
        before = block.stage - 1
        agents = seat.agents if before else 0
        return self._said[block.model, before, seat.temperature, agents, example, other]


def _messages(plan: Plan, block: Block, example: Example, seat: Seat, drafts: Drafts) -> list[Message]:
    """What is asked: the question, with the others' drafts of the round before in a debate."""
    others = [other for other in range(seat.agents) if other != seat.number] if block.stage else []
    shown = [drafts.of(block, seat, example.id, other) for other in others]
    return known_roles()["debater"].messages(example.question, drafts=shown, task=plan.study.task.instruction)


def _order(plan: Plan, block: Block) -> list[tuple[Example, Seat]]:
    """Examples and temperatures shuffled together; the calls of one team on one example stand side by side."""
    teams = [list(seats) for _, seats in groupby(block.seats, lambda seat: (seat.temperature, seat.agents))]
    pairs = [(example, seats) for example in plan.examples_of(block) for seats in teams]
    random.Random(f"{plan.study.file.seed} {block.id}").shuffle(pairs)
    return [(example, seat) for example, seats in pairs for seat in seats]


async def run_block(plan: Plan, block: Block, model: ChatModel, meter: Sampler, drafts: Drafts) -> dict[str, Any]:
    """Make a block's calls; a line of the log.

    Raises:
        CallFailed: one call failed for good.
    """
    places = asyncio.Semaphore(plan.recipe.in_flight)
    task, study_seed = plan.study.task, plan.study.file.seed

    async def one(example: Example, seat: Seat) -> tuple[Reply, float]:
        asked = _messages(plan, block, example, seat, drafts)
        sample = block.stage * seat.agents + seat.number  # as graphs/debate.py numbers them
        async with places:
            submitted_s = time.monotonic()
            reply = await model.chat(
                asked,
                agent="recorder",
                temperature=seat.temperature,
                max_tokens=task.max_tokens,
                sample=sample,
                seed=derive_seed(study_seed, block.repetition, model.name, asked, seat.temperature, sample),
            )
        return reply, submitted_s

    wanted = _order(plan, block)
    started_at, ticks, before, begun = datetime.now(UTC), _busy_s(), meter.read(), time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(*each)) for each in wanted]
    except ExceptionGroup as several:
        if (failed := several.subgroup(CallFailed)) is not None:
            raise _first(failed) from None
        raise
    after, wall_s, busy_s = meter.read(), time.monotonic() - begun, _busy_s() - ticks
    if before is None or after is None:
        raise SystemExit(f"the {meter.method} meter gives no joules")
    measured = window(meter.between(before, after), meter.limits, None)
    timed = [_timed(example, model.name, *task_.result()) for (example, _), task_ in zip(wanted, tasks, strict=True)]
    results, sharing = share_energy(timed, measured, idle_w=None, coefficients={}, refresh_s=meter.limits.refresh_s)
    if sharing is None or measured.total_j is None:
        raise SystemExit(f"no joules: {', '.join(measured.marks)}")
    calls = []
    for (example, seat), each, result in zip(wanted, timed, results, strict=True):
        answer, call = task.read(each.result.answer or ""), result.calls[0]
        calls.append(
            {
                "example": example.id,
                "temperature": seat.temperature,
                "agents": seat.agents,
                "sample": seat.number,
                "answer": answer,
                "score": task.scorer.score(answer, example.expected),
                "latency_s": round(call.latency_s, 6),
                "energy_j": round(call.energy_j or 0.0, 7),
                "input_tokens": call.input_tokens,
                "output_tokens": call.output_tokens,
                "cached_tokens": call.cached_tokens or 0,
                "attempts": call.attempts,
            }
        )
    watts = meter.assumptions.get("active_w_per_core")
    # What all processors did, less what the meter counts as ours; only an estimate counts processor time.
    others_s = busy_s - measured.total_j / watts if isinstance(watts, float) else None
    return {
        "block": block.id,
        "repetition": block.repetition,
        "stage": block.stage,
        "model": block.model,
        "started_at": started_at.isoformat(timespec="milliseconds"),
        "wall_s": round(wall_s, 4),
        "energy_j": round(measured.total_j, 5),
        "unattributed_j": round(sharing.unattributed_j, 5),
        "others_busy_cores": None if others_s is None else round(max(0.0, others_s) / wall_s, 3),
        "calls": calls,
    }


def _timed(example: Example, model: str, reply: Reply, submitted_s: float) -> TimedResult:
    call = Call(
        agent="recorder", model=model, sample=0, start_s=0.0, latency_s=reply.latency_s,
        input_tokens=reply.input_tokens, output_tokens=reply.output_tokens, cached_tokens=reply.cached_tokens,
        attempts=reply.attempts, queue_s=reply.queue_s, ttft_s=reply.ttft_s, decode_s=reply.decode_s,
    )  # fmt: skip
    result = ExampleResult(id=example.id, answer=reply.text, score=0.0, latency_s=reply.latency_s, calls=(call,))
    return TimedResult(result=result, submitted_s=submitted_s)


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    first = several.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _busy_s() -> float:
    """Seconds that all processors together were at work since the system started (proc(5), /proc/stat)."""
    fields = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


async def record(plan: Plan, *, minutes: float) -> bool:
    """Record what is missing, for so long at most; whether all is there.

    Raises:
        EngineError: a block failed time and again.
    """
    done, drafts = plan.done(), Drafts()
    for row in done.values():
        drafts.add(row)
    missing = [block for block in plan.blocks if block.id not in done]
    print(f"{plan.name}: {len(plan.space)} teams, {len(plan.blocks)} blocks, {len(missing)} to record", flush=True)
    if not missing:
        return True
    plan.work.parent.mkdir(parents=True, exist_ok=True)
    decided = back_end(plan.study.file.engine, plan.recipe.study.parent)
    with Sampler(decided.meter()) as meter, plan.work.open("a") as log:
        pool = open_pool(
            back_end=decided,
            models=plan.study.models,
            options=plan.study.file.engine_options,
            concurrency=plan.recipe.in_flight,
            deadline_s=plan.study.file.measure.deadline_s,
            shots=shots_as_messages(plan.study.task.shots),
            catalogue=Catalogue.default(),
            meter=meter,
            logs=plan.work.parent / "logs",
            on_event=lambda event: print(f"{event.model} {event.kind} in {event.seconds:.1f} s", flush=True),
            say=print,
        )
        async with pool:
            names = list(plan.study.models)
            lease = await pool.lease(names)
            for model in lease.models.values():
                await _warm_up(plan, model)
            log.write(
                json.dumps({"engines": {name: dict(lease.facts[name]) for name in names}, **_about(meter)}) + "\n"
            )
            begin = time.monotonic()
            for number, block in enumerate(missing, start=1):
                if time.monotonic() - begin > minutes * 60:
                    return False
                row = await _until_it_works(plan, block, pool, meter, drafts)
                log.write(json.dumps(row) + "\n")
                log.flush()
                drafts.add(row)
                left_s = (time.monotonic() - begin) / number * (len(missing) - number)
                print(
                    f"{number}/{len(missing)} {block.id}: {len(row['calls']) / row['wall_s']:.0f} calls/s, others busy "
                    f"on {row['others_busy_cores']} cores, {left_s / 60:.1f} min left",
                    flush=True,
                )
    return True


async def _until_it_works(plan: Plan, block: Block, pool: Pool, meter: Sampler, drafts: Drafts) -> dict[str, Any]:
    for attempt in range(1, _TRIES + 1):
        lease = await pool.lease(list(plan.study.models))
        try:
            return await run_block(plan, block, lease.models[block.model], meter, drafts)
        except CallFailed as error:
            print(f"{block.id}: {error}; try {attempt} of {_TRIES}", flush=True)
            await pool.lost_engines(lease)
    raise EngineError(f"{block.id} failed {_TRIES} times; record again to go on after what there is")


async def _warm_up(plan: Plan, model: ChatModel) -> None:
    """First requests are slow on a fresh engine."""
    asked: list[Message] = [{"role": "user", "content": example.question} for example in plan.examples[-16:]]
    for number in range(2):
        await asyncio.gather(
            *(
                model.chat([one], agent="recorder", temperature=1.0, max_tokens=8, sample=number, seed=number)
                for one in asked
            )
        )


def _about(meter: Sampler) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "energy": {"method": meter.method, **meter.assumptions},
        "machine": dict(machine.facts()),
        "versions": versions(),
    }


def compact(plan: Plan, folder: Path = TABLES) -> Recording:
    """Write what was recorded to a folder: topologies of which all calls are there.

    Raises:
        SystemExit: that is none.
    """
    done = plan.done()
    blocks = [block for block in plan.blocks if block.id in done]
    lacking = {block.stage for block in plan.blocks if block.id not in done and block.repetition == 0}
    if 0 in lacking:
        raise SystemExit("not all questions were asked yet; record more first")
    grids = {
        name: {knob: list(grid.values) for knob, grid in knobs.items()}
        for name, knobs in plan.space.grids.items()
        if name != "debate" or not lacking
    }
    place = {example.id: number for number, example in enumerate(plan.examples)}
    temperatures = sorted({seat.temperature for block in blocks for seat in block.seats})
    names = list(plan.study.models)
    columns: dict[str, list[Any]] = defaultdict(list)
    rows = []
    for number, block in enumerate(blocks):
        row = done[block.id]
        rows.append({"number": number, **{key: value for key, value in row.items() if key != "calls"}})
        for call in row["calls"]:
            known = {
                **call,
                "repetition": block.repetition,
                "stage": block.stage,
                "model": names.index(block.model),
                "temperature": temperatures.index(call["temperature"]),
                "example": place[call["example"]],
                "block": number,
            }
            for name in (*COLUMNS, "answer"):
                columns[name].append(known[name])
    file = plan.study.file
    recording = Recording(
        name=plan.name,
        facts={
            "name": plan.name,
            "first_block": min(row["started_at"] for row in rows),
            "last_block": max(row["started_at"] for row in rows),
            "study": plan.recipe.study.name,
            "seed": file.seed,
            "in_flight": plan.recipe.in_flight,
            "sessions": [
                json.loads(line) for line in plan.work.read_text().splitlines() if line.startswith('{"engines"')
            ],
            "models": names,
            "temperatures": temperatures,
            "scorer": file.task.scorer,
            "max_tokens": plan.study.task.max_tokens,
            "shots": [{"question": shot.question, "expected": shot.expected} for shot in plan.study.task.shots],
            "space": grids,
            "searched": plan.recipe.examples[0],
            "examples": [
                {"id": each.id, "question": each.question, "expected": each.expected} for each in plan.examples
            ],
        },
        columns={name: np.asarray(columns[name], dtype=kind) for name, kind in COLUMNS.items()},
        answers=np.asarray(columns["answer"], dtype=np.str_),
    )
    write(recording, rows, folder)
    return recording


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("name", choices=list(RECIPES))
    parser.add_argument("--minutes", type=float, default=60.0, help="most minutes of recording")
    parser.add_argument("--compact", action="store_true", help="record nothing, write what there is")
    given = parser.parse_args()
    plan = Plan(given.name, RECIPES[given.name], ROOT / "runs" / "tables" / f"{given.name}.jsonl")
    if not given.compact:
        asyncio.run(record(plan, minutes=given.minutes))
    recording = compact(plan)
    print(f"{len(recording.answers)} calls, {len(recording.space)} teams of {', '.join(recording.space.grids)}")


if __name__ == "__main__":
    main()
