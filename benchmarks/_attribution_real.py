"""Attribution on a real engine: agents that ask at once, against each of them alone."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orkester.evals.records.block import Call, ExampleResult
from orkester.evals.running.energy import TimedResult, share_energy
from orkester.optim.session.back_end import BackEnd, back_end, open_pool
from orkester.optim.study.engine_parts import EngineOptionsPart
from orkester.serving.catalogue import Catalogue
from orkester.serving.chat import ChatModel
from orkester.serving.energy import IdlePower, Sampler, Window, window
from orkester.serving.energy.attribution import Coefficients
from orkester.serving.energy.calibration import calibrate

#: Words of the prompt and most tokens of the answer of each role.
ROLES: Mapping[str, tuple[int, int]] = {
    "planner": (60, 48),
    "reader": (220, 8),
    "writer": (20, 96),
    "judge": (120, 2),
}
CONCURRENCY = 4
_WORDS = ("river", "stone", "cloud", "lamp", "paper", "green", "north", "table", "seven", "music", "winter", "glass")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was measured while some roles asked.

    Attributes:
        calls: with the moment their example was submitted.
        measured: the window.
        idle_w: idle watts by domain; None where joules hold none.
    """

    calls: Sequence[TimedResult]
    measured: Window
    idle_w: Mapping[str, float] | None

    def by_role(self, cost: Mapping[str, Coefficients], kind: str, refresh_s: float) -> dict[str, float]:
        """Joules of each role: ``affine``, ``tokens`` or ``time``."""
        timed = self.calls if kind != "time" else [_untold(each) for each in self.calls]
        results, _ = share_energy(
            timed,
            self.measured,
            idle_w=self.idle_w,
            coefficients=cost if kind == "affine" else {},
            refresh_s=refresh_s,
        )
        sums: dict[str, float] = dict.fromkeys(ROLES, 0.0)
        for result in results:
            for call in result.calls:
                sums[call.agent] += call.energy_j or 0.0
        return sums


def _untold(timed: TimedResult) -> TimedResult:
    from dataclasses import replace

    calls = tuple(replace(call, input_tokens=None, output_tokens=None) for call in timed.result.calls)
    return TimedResult(result=replace(timed.result, calls=calls), submitted_s=timed.submitted_s)


async def ask(
    client: ChatModel, meter: Sampler, roles: Sequence[str], each: int, seed: int, idle_w: Mapping[str, float] | None
) -> Asked:
    """So many requests of each role in random order, ``CONCURRENCY`` at once; a role's are always the same."""
    order = [(role, number) for role in roles for number in range(each)]
    random.Random(seed).shuffle(order)
    places = asyncio.Semaphore(CONCURRENCY)

    async def one(role: str, number: int) -> TimedResult:
        words, most = ROLES[role]
        rng = random.Random(f"{seed} {role} {number}")
        text = f"{number} " + " ".join(rng.choices(_WORDS, k=words))
        async with places:
            submitted_s = time.monotonic()
            reply = await client.chat(
                [{"role": "user", "content": text}], agent=role, temperature=1.0, max_tokens=most, seed=number
            )
        call = Call(
            agent=role, model=client.name, sample=0, start_s=0.0, latency_s=reply.latency_s,
            input_tokens=reply.input_tokens, output_tokens=reply.output_tokens, cached_tokens=reply.cached_tokens,
            attempts=reply.attempts, queue_s=reply.queue_s, ttft_s=reply.ttft_s, decode_s=reply.decode_s,
        )  # fmt: skip
        result = ExampleResult(id=str(number), answer="", score=0.0, latency_s=reply.latency_s, calls=(call,))
        return TimedResult(result=result, submitted_s=submitted_s)

    start = meter.read()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(role, number)) for role, number in order]
    end = meter.read()
    if start is None or end is None:
        raise SystemExit(f"the {meter.method} meter gives no joules: {meter.assumptions.get('reason', '')}")
    measured = window(meter.between(start, end), meter.limits, idle_w)
    return Asked(calls=[task.result() for task in tasks], measured=measured, idle_w=idle_w)


def error(found: Mapping[str, float], alone: Mapping[str, float]) -> float:
    """Energy-weighted, of shares: working at once saves energy, and who saved it is not asked here."""
    ours, theirs = sum(found.values()), sum(alone.values())
    return sum(abs(found[role] / ours - alone[role] / theirs) for role in alone)


def run(*, model: str, engine: str, each: int, repeats: int, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Calibrate, then alternate mixed and solo windows; see the file's head."""
    decided = back_end(engine, Path.cwd())  # type: ignore[arg-type]
    with (
        tempfile.TemporaryDirectory(prefix="orkester-") as logs,
        Sampler(decided.meter()) as meter,
    ):
        return asyncio.run(_run(decided, meter, Path(logs), model, each, repeats, say))


async def _run(
    decided: BackEnd, meter: Sampler, logs: Path, model: str, each: int, repeats: int, say: Callable[[str], None]
) -> dict[str, Any]:
    catalogue = Catalogue.default()
    pool = open_pool(
        back_end=decided,
        models={model: catalogue.find(model)},
        options=EngineOptionsPart(slots=8, context_tokens=1024, prefix_caching=False),
        concurrency=CONCURRENCY,
        deadline_s=300.0,
        shots=(),
        catalogue=catalogue,
        meter=meter,
        logs=logs,
        say=say,
    )
    rows: list[dict[str, Any]] = []
    async with pool:
        lease = await pool.lease([model])
        client, facts = lease.models[model], lease.facts[model]
        idle_w = await IdlePower(meter).measure(pool.resident_engines())
        own = meter.read()
        domains = [name for name in (own.energy_j if own else {}) if name != "orkester"]
        say("calibrating")
        calibration = await calibrate(
            client, meter, engine_facts=facts, idle_w=idle_w or {}, device=decided.device, domains=domains,
            batches=(1, 4, 8), prompt_words=150, output_tokens=64,
        )  # fmt: skip
        say(f"calibrated, median relative residual {calibration.residual:.1%}: {calibration.coefficients}")
        cost = {model: calibration.coefficients}
        for repeat in range(repeats):
            alone = {}
            for role in ROLES:
                asked = await ask(client, meter, [role], each, repeat, idle_w)
                alone[role] = asked.by_role(cost, "time", meter.limits.refresh_s)[role]
            mixed = await ask(client, meter, list(ROLES), each, repeat, idle_w)
            for kind in ("affine", "time", "tokens"):
                found = mixed.by_role(cost, kind, meter.limits.refresh_s)
                rows.append({"repeat": repeat, "method": kind, "mixed_j": found, "alone_j": alone})
                rows[-1]["error"] = error(found, alone)
                say(f"{repeat} {kind:8}{rows[-1]['error']:8.1%}")
    return {
        "engine": dict(facts),
        "meter": meter.method,
        "device": decided.device,
        "requests_each": each,
        "concurrency": CONCURRENCY,
        "calibration": {"residual": calibration.residual, **calibration.coefficients.__dict__},
        "median": {
            kind: statistics.median(row["error"] for row in rows if row["method"] == kind)
            for kind in ("affine", "time", "tokens")
        },
        "rows": rows,
    }
