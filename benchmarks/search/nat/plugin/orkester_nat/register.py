"""What NAT loads: a workflow ``table_team`` and an evaluator ``table_value``.

The fields of the workflow are those of a table: ``ORKESTER_NAT_FIELDS`` names a JSON file with, for each, its kind,
default and search space. A run of the workflow makes an example's model calls, one HTTP request each, until the server
says that the team needs no more.
"""

import json
import os
import statistics
import types
from pathlib import Path
from typing import Any

import httpx
from nat.builder.builder import Builder, EvalBuilder
from nat.builder.evaluator import EvaluatorInfo
from nat.builder.function_info import FunctionInfo
from nat.cli.register_workflow import register_evaluator, register_function
from nat.data_models.evaluator import EvalInput, EvaluatorBaseConfig
from nat.data_models.function import FunctionBaseConfig
from nat.data_models.optimizable import OptimizableField, OptimizableMixin, SearchSpace
from nat.plugins.eval.data_models.evaluator_io import EvalOutput, EvalOutputItem

KINDS: dict[str, type] = {"int": int, "float": float, "str": str}
FIELDS = json.loads(Path(os.environ["ORKESTER_NAT_FIELDS"]).read_text(encoding="utf-8"))


def _body(namespace: dict[str, Any]) -> None:
    namespace["__annotations__"] = {"url": str, **{name: KINDS[field["kind"]] for name, field in FIELDS.items()}}
    for name, field in FIELDS.items():
        if field["space"]:
            namespace[name] = OptimizableField(default=field["default"], space=SearchSpace(**field["space"]))
        else:
            namespace[name] = field["default"]
    namespace["__module__"] = __name__


TableTeam = types.new_class("TableTeam", (FunctionBaseConfig, OptimizableMixin), {"name": "table_team"}, _body)


@register_function(config_type=TableTeam)
async def table_team(config: Any, builder: Builder):  # noqa: ARG001
    team = {name: getattr(config, name) for name in FIELDS}
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=64)) as client:

        async def run(example: str) -> str:
            done, call = {"more": True}, 0
            while done["more"]:
                content = json.dumps({"team": team, "example": example, "call": call})
                body = {"model": "table", "messages": [{"role": "user", "content": content}]}
                reply = await client.post(f"{config.url}/chat/completions", json=body)
                reply.raise_for_status()
                done = json.loads(reply.json()["choices"][0]["message"]["content"])
                call += 1
            return json.dumps(done)

        yield FunctionInfo.from_fn(run, description="A team of a table.")


class TableValue(EvaluatorBaseConfig, name="table_value"):
    """One value of an example, and how a team's are summed up."""

    key: str
    median: bool = False


@register_evaluator(config_type=TableValue)
async def table_value(config: TableValue, builder: EvalBuilder):  # noqa: ARG001
    async def evaluate(given: EvalInput) -> EvalOutput:
        items = [
            EvalOutputItem(id=item.id, score=json.loads(item.output_obj)[config.key], reasoning={})
            for item in given.eval_input_items
        ]
        # NAT's own base class rounds an average to two places, which makes small joules equal; ours are exact.
        average = (statistics.median if config.median else statistics.fmean)([item.score for item in items])
        return EvalOutput(average_score=average, eval_output_items=items)

    yield EvaluatorInfo(config=config, evaluate_fn=evaluate, description=config.key)
