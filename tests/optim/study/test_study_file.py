"""What a study file may say, and what is said of one that cannot be used."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from support import STUDY, merged, write_study

import orkester
from orkester.agents import Role
from orkester.agents.packs import known_roles
from orkester.errors import InputError
from orkester.evals.footprint import grids
from orkester.evals.objectives import objectives
from orkester.optim.goals.goal import limit
from orkester.optim.study.engine_parts import EngineOptionsPart, VllmPart, VllmSettings
from orkester.optim.study.parts import EnergyPart
from orkester.optim.study.space import space_of
from orkester.optim.study.study_file import StudyFile, read_study_file
from orkester.optim.study.yaml_source import listed

#: What a user must never have to read.
_JARGON = re.compile(
    r"pydantic|type=|input_value|Input should|should be a valid|Part\b|dict\[|Traceback|__init__|Dictionary"
)

LLAMACPP: dict[str, Any] = {"engine": "llamacpp", "models": ["arithmetic-80k"], "search": {"single": {}}}
ELSEWHERE: dict[str, Any] = {"engine": {"base_url": "http://127.0.0.1:1/v1"}}


def refusal(path: Path) -> str:
    """What `tune` says to a study that it refuses; nothing may have been written."""
    folder = path if path.is_dir() else path.parent
    before = sorted(folder.rglob("*"))
    with pytest.raises(InputError) as raised:
        orkester.tune(path, folder / "run")
    assert sorted(folder.rglob("*")) == before
    message = str(raised.value)
    assert not _JARGON.search(message), message
    short = message.replace(str(folder), "studies")
    assert sum(math.ceil(len(line) / 100) for line in short.splitlines()) <= 24, message
    return message


def line_of(path: Path, text: str) -> int:
    """The number of the one line that is this text, or begins with it where it is a key."""
    lines = [line.strip().removeprefix("- ") for line in path.read_text().splitlines()]
    found = [i for i, line in enumerate(lines, 1) if line == text or (text.endswith(":") and line.startswith(text))]
    assert len(found) == 1, (text, found)
    return found[0]


# Changes to a good study; the key that is named; a text of the line that is named; what the message says.
BAD: list[tuple[dict[str, Any], str, str, list[str]]] = [
    # unknown keys
    (
        {"objectivs": {"quality": "maximize"}},
        "objectivs",
        "objectivs:",
        ["did you mean 'objectives'?", "Known: name, task"],
    ),
    ({"task": {"scorr": "exact"}}, "task.scorr", "scorr:", ["'scorr' (did you mean 'scorer'?)", "max_tokens"]),
    ({"measure": {"blok": 2}}, "measure.blok", "blok:", ["did you mean 'block'?", "deadline_s"]),
    ({"budget": {"trails": 2}}, "budget.trails", "trails:", ["did you mean 'trials'?", "Known: trials, minutes"]),
    ({"engine_options": {"slot": 2}}, "engine_options.slot", "slot:", ["did you mean 'slots'?"]),
    # wrong types
    ({"seed": "three"}, "seed", "seed:", ["takes a whole number, but got 'three'"]),
    ({"seed": 1.5}, "seed", "seed:", ["takes a whole number, but got 1.5"]),
    ({"seed": True}, "seed", "seed:", ["takes a whole number, but got True"]),
    ({"measure": {"examples": "12"}}, "measure.examples", "examples:", ["takes a whole number, but got '12'"]),
    ({"task": {"confirm": "half"}}, "task.confirm", "confirm:", ["takes a number, but got 'half'"]),
    (
        {"measure": {"deadline_s": math.inf}},
        "measure.deadline_s",
        "deadline_s:",
        ["takes a finite number, but got inf"],
    ),
    ({"task": "data.jsonl"}, "task", "task:", ["takes a mapping (KEY: VALUE), but got 'data.jsonl'"]),
    ({"models": "small"}, "models", "models:", ["takes a list, but got 'small'"]),
    (
        {"models": ["small", 57]},
        "models.1",
        "57",
        ["takes text, or {NAME: {request: {…}}}, but got 57 (put it in quotes)"],
    ),
    ({"name": 2024}, "name", "name:", ["takes text, but got 2024 (put it in quotes)"]),
    ({"name": "a b"}, "name", "name:", ["takes letters, digits", "'a b'"]),
    ({"search": ["single"]}, "search", "search:", ["takes a mapping"]),
    ({"search": {"single": 5}}, "search.single", "single:", ["takes a mapping"]),
    (
        {"search": {"vote": {"agents": True}}},
        "search.vote.agents",
        "agents:",
        ["takes a number, a name", "but got True"],
    ),
    ({"search": {"vote": {"agents": {"low": 2}}}}, "search.vote.agents", "agents:", ["a list of names", "{'low': 2}"]),
    ({"task": {"scorer": 5}}, "task.scorer", "scorer:", ["takes a scorer's name", "but got 5"]),
    (
        {"engine_options": {"prefix_caching": "yes"}},
        "engine_options.prefix_caching",
        "prefix_caching:",
        ["true or false"],
    ),
    # out of range
    ({"budget": {"trials": 0}}, "budget.trials", "trials:", ["must be at least 1, but got 0"]),
    ({"task": {"confirm": 1.5}}, "task.confirm", "confirm:", ["must be less than 1, but got 1.5"]),
    ({"measure": {"deadline_s": 0}}, "measure.deadline_s", "deadline_s:", ["must be more than 0, but got 0"]),
    ({"seed": 2**32}, "seed", "seed:", ["must be less than 4294967296"]),
    ({"models": []}, "models", "models:", ["needs at least one entry"]),
    ({"search": {}}, "search", "search:", ["needs at least one entry"]),
    ({"models": ["small", "large", "small"]}, "models", "models:", ["names 'small' twice"]),
    # roles
    (
        {"roles": {"slo": {"instruction": "Think."}}},
        "roles.slo",
        "slo:",
        ["no topology of the search has the role 'slo' (did you mean 'solo'?). Known: solo, voter, first, then"],
    ),
    ({"roles": {"debater": {"max_tokens": 9}}}, "roles.debater", "debater:", ["has the role 'debater'. Known: solo"]),
    (
        {"roles": {"solo": {"instructions": "Think."}}},
        "roles.solo.instructions",
        "instructions:",
        ["unknown key 'instructions' (did you mean 'instruction'?). Known: instruction, max_tokens, temperature, sees"],
    ),
    ({"roles": {"solo": {"answers": False}}}, "roles.solo.answers", "answers:", ["unknown key 'answers'"]),
    ({"roles": {"solo": None}}, "roles.solo", "solo:", ["takes a mapping (KEY: VALUE), but got nothing"]),
    ({"roles": ["solo"]}, "roles", "roles:", ["takes a mapping"]),
    ({"roles": {"solo": {"max_tokens": 0}}}, "roles.solo.max_tokens", "max_tokens: 0", ["must be at least 1"]),
    ({"roles": {"solo": {"temperature": 3}}}, "roles.solo.temperature", "temperature: 3", ["must be at most 2"]),
    (
        {"roles": {"solo": {"sees": "last_drft"}}},
        "roles.solo.sees",
        "sees:",
        ["takes one of question, last_draft, all, but got 'last_drft' (did you mean 'last_draft'?)"],
    ),
    (
        {"roles": {"solo": {"output": "json"}}},
        "roles.solo.output",
        "output:",
        ["takes 'text' or a JSON schema such as {type: object, properties: …}, but got 'json'"],
    ),
    ({"roles": {"solo": {"output": {}}}}, "roles.solo.output", "output:", ["takes 'text' or a JSON schema"]),
    (
        {"roles": {"solo": {"instruction": "Look at {drfts}."}}},
        "roles.solo.instruction",
        "instruction:",
        ["unknown placeholder {drfts} (did you mean {drafts}?). Known: {question}, {drafts}, {task}; write {{drfts}}"],
    ),
    (
        {"roles": {"solo": {"instruction": "Look at {drafts}."}}},
        "roles.solo.instruction",
        "instruction:",
        ["the role sees only the question: set sees to last_draft or all"],
    ),
    ({"roles": {"solo": {"drafts": "No."}}}, "roles.solo.drafts", "drafts:", ["needs {drafts} at the place"]),
    # topologies and knobs
    (
        {"search": {"vot": {"agents": 2}}},
        "search.vot",
        "vot:",
        ["'vot' (did you mean 'vote'?). Known: cascade, debate"],
    ),
    (
        {"search": {"vote": {"agent": 2}}},
        "search.vote.agent",
        "agent:",
        ["unknown knob 'agent' (did you mean 'agents'?)"],
    ),
    (
        {"search": {"vote": {"agents": [5, 2]}}},
        "search.vote.agents",
        "agents:",
        ["upside down", "LOW <= HIGH", "[5, 2]"],
    ),
    ({"search": {"vote": {"agents": [2, 50]}}}, "search.vote.agents", "agents:", ["takes 1 to 9, but got 50"]),
    ({"search": {"vote": {"agents": [2, 3, 4]}}}, "search.vote.agents", "agents:", ["a whole number or [LOW, HIGH]"]),
    ({"search": {"vote": {"agents": [2, 3.5]}}}, "search.vote.agents", "agents:", ["takes a whole number", "[2, 3.5]"]),
    ({"search": {"vote": {"agents": "many"}}}, "search.vote.agents", "agents:", ["takes a whole number", "'many'"]),
    ({"search": {"vote": {"temperature": math.nan}}}, "search.vote.temperature", "temperature:", ["but got nan"]),
    (
        {"search": {"single": {"model": "smal"}}},
        "search.single.model",
        "model:",
        ["'smal' (did you mean 'small'?)", "'any'"],
    ),
    ({"search": {"single": {"model": []}}}, "search.single.model", "model:", ["needs at least one of small, large"]),
    # models and scorers
    (
        {**LLAMACPP, "models": ["arithmetic-80k", "arithmetic-80"]},
        "models.1",
        "arithmetic-80",
        ["unknown model 'arithmetic-80' (did you mean 'arithmetic-80k'?)", "hf:org/name"],
    ),
    ({**LLAMACPP, "models": ["no/such.gguf"]}, "models.0", "no/such.gguf", ["there are no weights at", "no/such.gguf"]),
    (
        {"task": {"scorer": "exat"}},
        "task.scorer",
        "scorer:",
        ["unknown scorer 'exat' (did you mean 'exact'?)", "module:name"],
    ),
    (
        {"task": {"scorer": {"numeric": {"tolerence": 0.1}}}},
        "task.scorer.numeric",
        "numeric:",
        ["has no option 'tolerence' (did you mean 'tolerance'?)"],
    ),
    (
        {"task": {"scorer": {"numeric": {"tolerance": 3}}}},
        "task.scorer.numeric",
        "numeric:",
        ["0 <= tolerance < 1", "3"],
    ),
    ({"task": {"scorer": {"numeric": [1]}}}, "task.scorer.numeric", "numeric:", ["{OPTION: VALUE}", "[1]"]),
    ({"task": {"scorer": "regex"}}, "task.scorer", "scorer:", ["needs the option 'pattern'"]),
    ({"task": {"scorer": {"exact": {}, "numeric": {}}}}, "task.scorer", "scorer:", ["{NAME: {OPTION: …}}"]),
    ({"task": {"scorer": "no_such_module:f"}}, "task.scorer", "scorer:", ["'no_such_module' cannot be imported"]),
    ({"task": {"scorer": "json:lods"}}, "task.scorer", "scorer:", ["no 'lods' (did you mean 'loads'?)"]),
    ({"task": {"extract": "("}}, "task.extract", "extract:", ["is not a regular expression"]),
    ({"task": {"extract": "a"}}, "task.extract", "extract:", ["exactly one group", "has 0"]),
    (
        {"task": {"fields": {"questn": "q"}}},
        "task.fields.questn",
        "questn:",
        ["id, question, answer", "did you mean 'question'?"],
    ),
    # objectives and constraints
    (
        {"objectives": {"qualty": "maximize"}},
        "objectives.qualty",
        "qualty:",
        ["'qualty' (did you mean 'quality'?)", "energy_j"],
    ),
    (
        {"objectives": {"quality": "maximise"}},
        "objectives.quality",
        "quality:",
        ["maximize, minimize", "did you mean 'maximize'?"],
    ),
    ({"objectives": ["quality"]}, "objectives", "objectives:", ["takes a mapping"]),
    (
        {"constraints": {"latency_p95": "<= 1"}},
        "constraints.latency_p95",
        "latency_p95:",
        ["did you mean 'latency_p95_s'?"],
    ),
    *(
        (
            {"constraints": {"latency_p95_s": text}},
            "constraints.latency_p95_s",
            "latency_p95_s:",
            ["'<= NUMBER' or '>= NUMBER'", f"{text!r}"],
        )
        for text in ("< 1", "<= 1.2.3", "<= .", "<= fast", "10", 10, "<= 1e", "== 3")
    ),
    # engines: only what was meant is complained about
    (
        {"engine": "lamacpp"},
        "engine",
        "engine:",
        ["'lamacpp' (did you mean 'llamacpp'?)", "auto, llamacpp, vllm", "base_url"],
    ),
    ({"engine": 3}, "engine", "engine:", ["takes auto, llamacpp, vllm", "base_url", "but got 3"]),
    ({"engine": {"base_url": "127.0.0.1:8000"}}, "engine.base_url", "base_url:", ["such as http://127.0.0.1:8000/v1"]),
    (
        {"engine": {"base_url": "http://me:secret@x/v1"}},
        "engine.base_url",
        "base_url:",
        ["name a variable with api_key_env"],
    ),
    (
        {"engine": {"base_url": "http://x/v1?api-version=2"}},
        "engine.base_url",
        "base_url:",
        ["must end with its path", "api_key_env"],
    ),
    *(
        (
            {"engine": {"base_url": "http://x/v1", "api_key_env": key}},
            "engine.api_key_env",
            "api_key_env:",
            ["takes the name"],
        )
        for key in ("sk-abc", "$KEY", 123456, ["sk-abc"], {"sk-abc": 1}, True)
    ),
    # changes to requests
    *(
        (
            {"models": ["small", {"large": {"request": request}}]},
            f"models.1.large.request.{key}",
            f"{key}:",
            words,
        )
        for request, key, words in (
            ({"drop": ["model"]}, "drop", ["model cannot be dropped: the study sets it"]),
            ({"drop": ["messages"]}, "drop", ["messages cannot be dropped: the team writes them"]),
            ({"drop": ["top_p"]}, "drop", ["only temperature, max_tokens, seed, stop, response_format can be dropped"]),
            ({"drop": "seed"}, "drop", ["takes a list", "'seed'"]),
            ({"rename": {"messages": "m"}}, "rename", ["messages cannot be renamed"]),
            ({"rename": {"seed": "model"}}, "rename", ["seed needs a new name", "'model'"]),
            ({"rename": {"seed": "x", "stop": "x"}}, "rename", ["gives two parameters the same name"]),
            (
                {"extra": {"stream": True}},
                "extra",
                ["cannot have stream: Orkester reads an answer when it is complete"],
            ),
            ({"extra": {"n": 2}}, "extra", ["cannot have n", "vote"]),
            ({"extra": {"temperature": 1}}, "extra", ["cannot have temperature, which the study sets"]),
            ({"extra": {"api_key": "abc"}}, "extra", ["seems to have a key", "api_key_env"]),
            ({"extra": {"headers": {"x": "Bearer abcdefgh1234"}}}, "extra", ["seems to have a key"]),
            ({"extra": {"x": [{"password": "abc"}]}}, "extra", ["seems to have a key"]),
            ({"extra": {"x": math.inf}}, "extra", ["JSON does not have"]),
            ({"remove": ["seed"]}, "remove", ["unknown key 'remove'", "Known: drop, rename, extra"]),
        )
    ),
    (
        {"models": ["small", {"large": {"request": {"drop": ["seed"], "rename": {"seed": "x"}}}}]},
        "models.1.large.request",
        "request:",
        ["drops seed and renames it"],
    ),
    (
        {"models": ["small", {"large": {"request": {"rename": {"seed": "x"}, "extra": {"x": 1}}}}]},
        "models.1.large.request",
        "request:",
        ["x in extra and as a new name"],
    ),
    (
        {"models": ["small", {"large": {"requests": {}}}]},
        "models.1.large.requests",
        "requests:",
        ["did you mean 'request'?"],
    ),
    ({"models": ["small", {"largest": {}, "other": {}}]}, "models.1", "largest:", ["takes text, or {NAME: {request"]),
    ({"models": ["small", {"largest": "x"}]}, "models.1", "largest:", ["takes text, or {NAME: {request"]),
    ({"models": ["large", {"large": {}}]}, "models", "models:", ["names 'large' twice"]),
    (
        {"models": ["small", {"large": {"request": {"drop": ["temperature"]}}}]},
        "search.vote.temperature",
        "temperature:",
        ["is searched, but request.drop leaves the temperature out of all requests to large"],
    ),
    ({"engine": {"base_url": "http://[::1/v1"}}, "engine.base_url", "base_url:", ["such as http://127.0.0.1:8000/v1"]),
    (
        {"engine": {"base_url": "http://x/v1", "api_key": "k"}},
        "engine.api_key",
        "api_key:",
        ["did you mean 'api_key_env'?"],
    ),
    (
        {"engine": {"fake": {}, "base_url": "http://x/v1"}},
        "engine.base_url",
        "base_url:",
        ["unknown key 'base_url'", "Known: fake"],
    ),
    ({"engine": {"fake": {"acuracy": 1.0}}}, "engine.fake.acuracy", "acuracy:", ["did you mean 'accuracy'?"]),
    (
        {"engine": {"fake": {"accuracy": "high"}}},
        "engine.fake.accuracy",
        "accuracy:",
        ["takes a number or a mapping", "'high'"],
    ),
    (
        {"engine": {"fake": {"accuracy": {"small": "x"}}}},
        "engine.fake.accuracy.small",
        "small: x",
        ["takes a number, but got 'x'"],
    ),
    (
        {"engine": {"fake": {"data": "absent.jsonl"}}},
        "engine.fake.data",
        "data: absent.jsonl",
        ["there is no file", "absent.jsonl"],
    ),
    (
        {"engine": {"fake": {"faults": [{"kind": "bang"}]}}},
        "engine.fake.faults.0.kind",
        "kind:",
        ["503", "did you mean 'hang'?"],
    ),
    (
        {"engine": {"fake": {"faults": [{"kind": 400}]}}},
        "engine.fake.faults.0.kind",
        "kind:",
        ["but got 400 (did you mean '400'?)"],
    ),
    (
        {"engine": {"fake": {"faults": [{"kind": "400", "share": 2.0}]}}},
        "engine.fake.faults.0.share",
        "share:",
        ["at most 1"],
    ),
    ({"engine": {"fake": None}}, "engine.fake", "fake:", ["takes a mapping", "but got nothing"]),
    # vLLM and what it is told
    ({"engine": {"vllm": None}}, "engine.vllm", "vllm:", ["takes a mapping", "but got nothing"]),
    ({"engine": {"vllm": {"pyton": "p"}}}, "engine.vllm.pyton", "pyton:", ["did you mean 'python'?", "options"]),
    ({"engine": {"vllm": {"python": 3}}}, "engine.vllm.python", "python:", ["takes text, but got 3"]),
    (
        {**LLAMACPP, "engine": {"vllm": {"python": "no/bin/python"}}},
        "engine.vllm.python",
        "python:",
        ["there is no program", "no/bin/python"],
    ),
    (
        {**LLAMACPP, "engine": {"vllm": {"python": "."}}},
        "engine.vllm.python",
        "python:",
        ["is a folder; name the Python in it: bin/python"],
    ),
    (
        {"engine": {"vllm": {"options": {"--enforce-eager": True}}}},
        "engine.vllm.options.--enforce-eager",
        "--enforce-eager:",
        ["without the leading dashes (write enforce-eager)"],
    ),
    (
        {"engine": {"vllm": {"options": {"load format": "x"}}}},
        "engine.vllm.options.load format",
        "load format:",
        ["such as enforce-eager", "'load format'"],
    ),
    (
        {"engine": {"vllm": {"options": {"block-size": [16, 32]}}}},
        "engine.vllm.options.block-size",
        "block-size:",
        ["takes true or false, a finite number or text, but got [16, 32]"],
    ),
    (
        {"engine": {"vllm": {"options": {"seed": math.inf}}}},
        "engine.vllm.options.seed",
        "seed: .inf",
        ["takes true or false, a finite number or text, but got inf"],
    ),
    *(
        (
            {"engine": {"vllm": {"options": {option: 2}}}},
            f"engine.vllm.options.{option}",
            f"{option}:",
            ["is not for a study file to give: ", remedy],
        )
        for option, remedy in {
            "max-num-seqs": "use engine_options.slots",
            "max_num_seqs": "use engine_options.slots",
            "max-num-active-seqs": "use engine_options.max_num_active_seqs",
            "max-model-len": "use engine_options.context_tokens",
            "no-enable-prefix-caching": "use engine_options.prefix_caching",
            "kv-cache-dtype": "use engine_options.kv_cache_dtype",
            "quantization": "use engine_options.quantization",
            "tensor-parallel-size": "use engine_options.tensor_parallel",
            "served-model-name": "name models with the key models",
            "gpu-memory-utilization": "engine_options.slots and context_tokens",
            "kv-cache-memory-bytes": "engine_options.slots and context_tokens",
            "port": "Orkester finds a place",
            "host": "Orkester finds a place",
            "api-key": "needs no key",
            "otlp-traces-endpoint": "takes vLLM's spans itself",
            "config": "one by one",
        }.items()
    ),
    # engine options
    *(
        ({"engine_options": {option: given}}, f"engine_options.{option}", f"{option}:", [said])
        for option, given, said in (
            ("max_num_active_seqs", "x", "takes a whole number or a list, but got 'x'"),
            ("max_num_active_seqs", 0, "must be at least 1, but got 0"),
            ("max_num_active_seqs", [], "needs at least one entry"),
            ("kv_cache_dtype", 8, "takes text or a list, but got 8"),
            ("kv_cache_dtype", "", "takes text, but got nothing between the quotes"),
            ("tensor_parallel", 1.5, "takes a whole number or a list, but got 1.5"),
            ("prefix_cache", "hot", "takes one of cold, warm, but got 'hot'"),
            ("prefix_cache", ["cold", "warm"], "takes one of cold, warm"),
        )
    ),
    *(
        ({"engine_options": {option: [good, bad]}}, f"engine_options.{option}.1", f"{bad!r}".strip("'"), [said])
        for option, good, bad, said in (
            ("max_num_active_seqs", 2, "many", "takes a whole number, but got 'many'"),
            ("tensor_parallel", 2, 0, "must be at least 1, but got 0"),
            ("prefix_caching", True, "no one", "takes true or false, but got 'no one'"),
            ("quantization", "fp8", 4, "takes text, but got 4"),
        )
    ),
    (
        {"engine_options": {"slots": 4, "max_num_active_seqs": [2, 8]}},
        "engine_options.max_num_active_seqs",
        "max_num_active_seqs:",
        ["must not be more than engine_options.slots (4), but got 8"],
    ),
    *(
        (
            {**LLAMACPP, "engine": engine, "engine_options": {option: given}},
            f"engine_options.{option}",
            f"{option}:",
            ["only vLLM has this option", remedy],
        )
        for option, given in {
            "max_num_active_seqs": 2,
            "kv_cache_dtype": ["auto", "fp8"],
            "quantization": "fp8",
            "tensor_parallel": 2,
            "prefix_cache": "warm",
        }.items()
        for engine, remedy in {"llamacpp": "choose the engine vllm", "auto": "name the engine: vllm"}.items()
    ),
    *(
        (
            {**ELSEWHERE, "engine_options": {option: given}},
            f"engine_options.{option}",
            f"{option}:",
            ["the owner of the server decides how it starts", "leave this out"],
        )
        for option, given in {"max_num_active_seqs": 2, "prefix_caching": [True, False]}.items()
    ),
    # what does not go together
    (
        {"measure": {"block": 13}},
        "measure.block",
        "block:",
        ["must not be more than measure.examples (12), but got 13"],
    ),
    ({"measure": {"examples": 16}}, "measure.examples", "examples:", ["asks for 16", "15 are left", "5 held out"]),
    (
        {"task": {"shots": 2, "completion": ["smal"]}},
        "task.completion.0",
        "smal",
        ["is not a model of the study: 'smal' (did you mean 'small'?)"],
    ),
    (
        {**ELSEWHERE, "task": {"shots": 2, "completion": ["small"]}},
        "task.completion",
        "completion:",
        ["the owner of the server decides how it builds prompts"],
    ),
    ({"task": {"completion": ["small"]}}, "task.shots", "task:", ["small, which is not chatted with", "2 or more"]),
    ({"task": {"shots": 19}}, "task", "task:", ["20 examples are too few", "19 are shots"]),
    (
        {**LLAMACPP, "models": ["gemma3-270m"], "task": {"shots": 0}},
        "task.shots",
        "shots:",
        ["gemma3-270m, which is not chatted with", "2 or more"],
    ),
    *(
        (
            {**ELSEWHERE, "objectives": {name: "minimize"}},
            f"objectives.{name}",
            f"{name}:",
            ["unavailable", "leave it out"],
        )
        for name in sorted(name for name, objective in objectives().items() if objective.of_joules)
    ),
    (
        {**ELSEWHERE, "constraints": {"co2e_g": "<= 3"}},
        "constraints.co2e_g",
        "co2e_g:",
        ["unavailable", "leave it out"],
    ),
    (
        {"objectives": {"quality": "maximize", "cost_eur": "minimize"}},
        "objectives.cost_eur",
        "cost_eur:",
        ["needs a price", "energy.price_eur_per_kwh or energy.gpu_hour_eur"],
    ),
    (
        {"constraints": {"cost_eur": "<= 1"}, "energy": {"pue": 1.2}},
        "constraints.cost_eur",
        "cost_eur:",
        ["needs a price"],
    ),
    ({"energy": {"meter": "nvlm"}}, "energy.meter", "meter:", ["did you mean 'nvml'?", "or module:name"]),
    ({"energy": {"meter": 3}}, "energy.meter", "meter:", ["takes a meter's name, {replay: PATH}", "but got 3"]),
    ({"energy": {"meter": {"replay": "gone.csv"}}}, "energy.meter.replay", "replay:", ["there is no file"]),
    ({"energy": {"region": "se"}}, "energy.region", "region:", ["'se' (did you mean 'SE'?)", "DE"]),
    ({"energy": {"region": False}}, "energy.region", "region:", ["takes text", "(put it in quotes)"]),
    ({"energy": {"pue": 0.9}}, "energy.pue", "pue:", ["at least 1", "0.9"]),
    ({"energy": {"price_eur_per_kwh": -1}}, "energy.price_eur_per_kwh", "price_eur_per_kwh:", ["at least 0"]),
    ({"energy": {"gpu_hour_eur": "3"}}, "energy.gpu_hour_eur", "gpu_hour_eur:", ["takes a number"]),
    ({"energy": {"regoin": "SE"}}, "energy.regoin", "regoin:", ["did you mean 'region'?"]),
    # what no machine and no team can do
    *(
        (
            {"constraints": {name: text}},
            f"constraints.{name}",
            yaml.safe_dump({name: text}).strip(),
            [f"no team can keep {text}: it is {why}"],
        )
        for name, text, why in (
            ("quality", ">= 2", "a share, from 0 to 1"),
            ("quality", "<= -0.5", "a share, from 0 to 1"),
            ("failure_rate", ">= 1.01", "a share, from 0 to 1"),
            ("latency_p95_s", "<= 0", "above 0"),
            ("energy_j", "<= -1", "above 0"),
            ("calls", "<= -1", "not below 0"),
        )
    ),
    ({"engine_options": {"slots": 10**9}}, "engine_options.slots", "slots:", ["at most 4096"]),
    ({"engine_options": {"threads": 10**6}}, "engine_options.threads", "threads:", ["at most 4096"]),
    ({"engine_options": {"context_tokens": 10**12}}, "engine_options.context_tokens", "context_tokens:", ["at most"]),
    ({"measure": {"concurrency": 10**9}}, "measure.concurrency", "concurrency:", ["at most 4096"]),
    ({"measure": {"deadline_s": 1e300}}, "measure.deadline_s", "deadline_s:", ["at most 86400"]),
    ({"task": {"max_tokens": 10**9}}, "task.max_tokens", "max_tokens:", ["at most"]),
    (
        {**LLAMACPP, "task": {"shots": 2, "max_tokens": 1024}},
        "task.max_tokens",
        "max_tokens:",
        ["1,024 tokens do not fit into the context with a prompt: engine_options.context_tokens is 1,024"],
    ),
    (
        {**LLAMACPP, "task": {"shots": 2}, "engine_options": {"context_tokens": 4096}},
        "engine_options.context_tokens",
        "context_tokens:",
        ["4,096 tokens are more than any of the models was trained with; the most is 512"],
    ),
    (
        {**ELSEWHERE, "constraints": {"energy_j": "<= 3"}},
        "constraints.energy_j",
        "energy_j:",
        ["unavailable", "leave it out"],
    ),
]


@pytest.mark.parametrize(("changes", "key", "text", "said"), BAD, ids=[f"{row[1]}-{i}" for i, row in enumerate(BAD)])
def test_a_fault_is_answered_with_file_line_key_given_and_allowed(
    tmp_path: Path, changes: dict[str, Any], key: str, text: str, said: list[str]
) -> None:
    path = write_study(tmp_path, **changes)
    message = refusal(path)
    assert message.startswith(f"{path}:{line_of(path, text)}: {key}: ")
    assert "\n" not in message
    for part in said:
        assert part in message


def test_a_missing_key_is_named_with_its_place(tmp_path: Path) -> None:
    path = write_study(tmp_path, task={"data": None}, models=None)
    message = refusal(path)
    assert f"{path}:{line_of(path, 'task:')}: task: the key 'data' is missing" in message
    assert f"{path}:1: the key 'models' is missing" in message


def test_a_misspelt_address_names_the_right_key(tmp_path: Path) -> None:
    path = write_study(tmp_path, engine={"base_urll": "http://127.0.0.1:8000/v1"})
    message = refusal(path)
    assert (
        f"{path}:{line_of(path, 'base_urll:')}: engine.base_urll: unknown key 'base_urll' (did you mean 'base_url'?)"
        in message
    )
    assert f"{path}:{line_of(path, 'engine:')}: engine: the key 'base_url' is missing" in message
    assert len(message.splitlines()) == 2


def test_the_default_objectives_are_explained_where_energy_cannot_be_had(tmp_path: Path) -> None:
    message = refusal(write_study(tmp_path, **ELSEWHERE, objectives=None))
    assert "give objectives without it: {quality: maximize, latency_p50_s: minimize}" in message


def test_the_energy_part_says_what_a_joule_means(tmp_path: Path) -> None:
    (tmp_path / "joules.csv").write_text("time_s,gpu:0\n")
    energy = {"region": "DE", "pue": 1.3, "gpu_hour_eur": 2, "meter": {"replay": "joules.csv"}}
    study = orkester.load_study(write_study(tmp_path, energy=energy, objectives={"cost_eur": "minimize"}))
    found = study.file.energy.footprint
    assert (found.region, found.pue, found.gpu_hour_eur, found.price_eur_per_kwh) == ("DE", 1.3, 2.0, None)
    assert found.carbon_g_per_kwh == grids()["DE"].carbon_g_per_kwh
    assert study.identity()["energy"] == energy
    assert EnergyPart.model_validate(study.identity()["energy"]) == study.file.energy


def test_a_study_without_an_energy_part_is_the_same_study_as_before_there_was_one(tmp_path: Path) -> None:
    plain = orkester.load_study(write_study(tmp_path))
    assert "energy" not in plain.identity()
    said = orkester.load_study(write_study(tmp_path, energy={"region": "SE", "pue": 1}))
    assert said.id == plain.id
    assert orkester.load_study(write_study(tmp_path, energy={"region": "DE"})).id != plain.id


def test_a_block_may_be_larger_than_the_examples_when_nobody_asked_for_its_size(tmp_path: Path) -> None:
    study = orkester.load_study(write_study(tmp_path, measure={"examples": 4, "block": None}))
    assert study.file.measure.block == 8


def test_all_faults_of_the_form_are_shown_at_once(tmp_path: Path) -> None:
    path = write_study(
        tmp_path, objectives={"qualty": "maximize"}, seed="x", measure={"blok": 1}, engine={"fake": {"data": 3}}
    )
    message = refusal(path)
    keys = [line.split(": ")[1] for line in message.splitlines()]
    assert sorted(keys) == ["engine.fake.data", "measure.blok", "objectives.qualty", "seed"]


def test_all_faults_of_the_meaning_are_shown_at_once(tmp_path: Path) -> None:
    path = write_study(
        tmp_path,
        engine="auto",
        models=["smol", "arithmetic-80k"],
        search={"vot": {}, "single": {"temp": 1.0, "model": "arithmetic"}},
        task={"scorer": "exat", "data": "absent.jsonl"},
    )
    message = refusal(path)
    assert len(message.splitlines()) == 6
    for text in ("'vot'", "'temp'", "'arithmetic'", "'exat'", "absent.jsonl: the data file does not exist", "'smol'"):
        assert text in message


def test_a_model_that_completes_is_asked_so_and_the_others_are_chatted_with(tmp_path: Path) -> None:
    models = orkester.load_study(write_study(tmp_path, task={"shots": 2, "completion": ["small"]})).models
    assert models["small"].base
    assert models["small"].stop == ("\n",)
    assert "Q: {{ m['content'] }}" in models["small"].chat_template
    assert not models["large"].base
    assert models["large"].chat_template == ""


def test_a_scorer_that_cannot_read_the_right_answers_is_refused(tmp_path: Path) -> None:
    path = write_study(tmp_path, task={"scorer": "numeric"})
    data = tmp_path / "data.jsonl"
    data.write_text(data.read_text().replace('"answer": "14"', '"answer": "quatorze"'))
    message = refusal(path)
    assert f"{path}:{line_of(path, 'scorer: numeric')}: task.scorer:" in message
    assert "numeric gives no point to 'quatorze', which the example 'q7' says is right" in message


def test_many_faults_still_fit_a_screen(tmp_path: Path) -> None:
    message = refusal(write_study(tmp_path, **{f"key{i}": i for i in range(40)}))
    lines = message.splitlines()
    assert len(lines) == 8
    assert lines[-1] == "… and 33 faults more"


def test_a_fault_is_said_once() -> None:
    assert listed(["a", "b", "a"]) == "a\nb"


# Contents of the file; the line that is named; what is said.
UNREADABLE: list[tuple[bytes, int, str]] = [
    (b"name: a\nseed: 1\nname: b\n", 3, "the key 'name' appears twice"),
    (b"name: a\ntask:\n  data: x\n  data: y\n", 4, "the key 'data' appears twice"),
    (b"name: [a\nb: }", 2, "this is not YAML"),
    (b"name: a\n\tseed: 1\n", 2, "this is not YAML"),
    (b"name: a\nseed: \x01\n", 2, "control character #x0001"),
    (b"name: a\n---\nname: b\n", 2, "this is not YAML"),
    (b"name: !!python/object:os.system {}\n", 1, "this is not YAML"),
    (b"name: a\n# caf\xe9\n", 2, "this is not UTF-8 text; save the file as UTF-8"),
    (b"- a\n- b\n", 1, "a study file is a mapping with the keys name, task"),
    (b"", 1, "but got nothing"),
    (b"hello\n", 1, "but got 'hello'"),
    (b"1: 2\n", 1, "keys are text, but got 1"),
]


@pytest.mark.parametrize(("content", "line", "said"), UNREADABLE)
def test_a_file_that_is_no_study_is_answered_with_its_line(
    tmp_path: Path, content: bytes, line: int, said: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    message = refusal(path)
    assert any(entry.startswith(f"{path}:{line}: ") and said in entry for entry in message.splitlines()), message


def test_a_date_that_is_none_is_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: 2020-13-45\n")
    assert "needs quotes" in refusal(path)


def test_an_anchor_that_contains_itself_is_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("models: &a [*a]\nsearch: &s {single: {model: *s}}\n")
    assert "models.0: takes text" in refusal(path)


@pytest.mark.parametrize("nested", ["[" * 3000 + "]" * 3000, "{a: " * 3000 + "1" + "}" * 3000])
def test_a_file_that_is_nested_too_deeply_is_refused_with_its_line(tmp_path: Path, nested: str) -> None:
    path = write_study(tmp_path)
    lines = path.read_text().count("\n")
    path.write_text(f"{path.read_text()}roles: {nested}\n")
    assert (
        refusal(path) == f"{path}:{lines + 1}: this is nested in more than 50 levels; no key of a study needs so many"
    )


def test_a_direction_that_is_unusual_is_noted(tmp_path: Path) -> None:
    study = orkester.load_study(write_study(tmp_path, objectives={"quality": "minimize", "calls": "minimize"}))
    assert study.notes == ["objectives.quality is minimized in this study; usually it is maximized. Is this intended?"]
    assert orkester.load_study(write_study(tmp_path)).notes == []


def test_aliases_of_aliases_are_walked_once(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60))]  # 2**60 leaves
    path.write_text("\n".join(lines))
    assert "unknown key 'a0'" in refusal(path)


def test_a_file_that_is_not_there_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.yaml") == f"{tmp_path / 'absent.yaml'}: there is no such study file"
    assert "is a folder; a study file was expected" in refusal(tmp_path)


def test_a_byte_order_mark_is_no_fault(study_file: Path) -> None:
    plain = orkester.load_study(study_file)
    study_file.write_bytes(b"\xef\xbb\xbf" + study_file.read_bytes())
    assert orkester.load_study(study_file).id == plain.id


def test_the_name_is_the_files_unless_given(tmp_path: Path) -> None:
    path = write_study(tmp_path, name=None).rename(tmp_path / "sums.yaml")
    assert orkester.load_study(path).name == "sums"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("<= 10", ("<=", 10.0)), (">=.5", (">=", 0.5)), (" <= -1e-3 ", ("<=", -0.001)), ("<= 2.", ("<=", 2.0))],
)
def test_a_limit_is_a_comparison_and_a_number(text: str, expected: tuple[str, float]) -> None:
    assert limit(text) == expected


# -- engines ----------------------------------------------------------------------------------------------------------

VLLM: dict[str, Any] = {**LLAMACPP, "engine": "vllm"}
SEARCHED: dict[str, Any] = {
    "prefix_caching": [True, False],
    "max_num_active_seqs": [2, 4, 2],
    "kv_cache_dtype": ["auto", "fp8"],
    "quantization": ["none", "fp8"],
    "tensor_parallel": [1, 2],
}


def options(path: Path) -> EngineOptionsPart:
    return orkester.load_study(path).file.engine_options


@pytest.mark.parametrize("engine", ["vllm", {"vllm": {}}, {"fake": {}}], ids=["vllm", "vllm with settings", "fake"])
def test_vllm_takes_every_option_one_or_several_and_so_does_the_fake(tmp_path: Path, engine: Any) -> None:
    study = {**VLLM, "engine": engine}
    plain = options(write_study(tmp_path / "a", **study, engine_options={name: v[1] for name, v in SEARCHED.items()}))
    assert plain.choices == {}
    assert plain.fixed == {
        "prefix_caching": False,
        "max_num_active_seqs": 4,
        "kv_cache_dtype": "fp8",
        "quantization": "fp8",
        "tensor_parallel": 2,
    }
    several = options(write_study(tmp_path / "b", **study, engine_options=SEARCHED))
    assert several.choices == {
        "prefix_caching": (True, False),
        "max_num_active_seqs": (2, 4),
        "kv_cache_dtype": ("auto", "fp8"),
        "quantization": (None, "fp8"),
        "tensor_parallel": (1, 2),
    }
    chosen = {"max_num_active_seqs": 4, "prefix_caching": False}
    assert several.settled(chosen).fixed == {**{name: v[0] for name, v in several.choices.items()}, **chosen}


def test_a_list_of_one_value_is_that_value(tmp_path: Path) -> None:
    found = options(write_study(tmp_path, **VLLM, engine_options={"max_num_active_seqs": [2, 2]}))
    assert found.choices == {}
    assert found.fixed["max_num_active_seqs"] == 2


@pytest.mark.parametrize("engine", ["auto", "llamacpp"])
def test_prefix_caching_may_be_searched_where_llama_cpp_serves(tmp_path: Path, engine: str) -> None:
    found = options(
        write_study(tmp_path, **{**LLAMACPP, "engine": engine}, engine_options={"prefix_caching": [True, False]})
    )
    assert found.choices == {"prefix_caching": (True, False)}


@pytest.mark.parametrize(
    ("asked", "slots"),
    [({}, 8), ({"slots": 5}, 5), ({"max_num_active_seqs": [2, 20]}, 20), ({"max_num_active_seqs": 3}, 8)],
)
def test_there_are_slots_for_teams_that_fan_out_and_for_what_vllm_works_on(
    tmp_path: Path, asked: dict[str, Any], slots: int
) -> None:
    assert options(write_study(tmp_path, **VLLM, engine_options=asked)).slots_for(4) == slots


def test_vllms_own_options_are_passed_on_as_they_are(tmp_path: Path) -> None:
    asked = {
        "enforce-eager": True,
        "block-size": 32,
        "dtype": "float16",
        "swap-space": 0.5,
        "compilation-config.mode": 0,
    }
    path = write_study(tmp_path, **{**LLAMACPP, "engine": {"vllm": {"options": asked}}})
    engine = orkester.load_study(path).file.engine
    assert isinstance(engine, VllmPart)
    assert engine.vllm.options == asked
    assert [type(value) for value in engine.vllm.options.values()] == [bool, int, str, float, int]


def test_vllms_python_is_sought_from_the_study_files_folder(tmp_path: Path) -> None:
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    path = write_study(tmp_path, **{**LLAMACPP, "engine": {"vllm": {"python": "env/bin/python"}}})
    engine = orkester.load_study(path).file.engine
    assert isinstance(engine, VllmPart)
    assert engine.vllm.interpreter(tmp_path) == python
    assert VllmSettings(python=str(python)).interpreter(Path("elsewhere")) == python
    assert VllmSettings().interpreter(tmp_path) is None


# -- round trip -------------------------------------------------------------------------------------------------------

_WORDS = st.text("abcxyz-._0 19", min_size=1, max_size=8)
_ENGINES = st.one_of(
    st.sampled_from(["auto", "llamacpp", "vllm"]),
    st.fixed_dictionaries(
        {
            "vllm": st.fixed_dictionaries(
                {},
                optional={
                    "python": _WORDS | st.none(),
                    "options": st.dictionaries(
                        st.sampled_from(["enforce-eager", "block-size", "compilation-config.mode"]),
                        st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _WORDS,
                        max_size=2,
                    ),
                },
            )
        }
    ),
    st.fixed_dictionaries(
        {"base_url": st.just("http://127.0.0.1:8000/v1")},
        optional={
            "api_key_env": st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True),
            "requests_per_s": st.floats(0.1, 99),
            "concurrency": st.integers(1, 99),
        },
    ),
    st.fixed_dictionaries(
        {
            "fake": st.fixed_dictionaries(
                {},
                optional={
                    "accuracy": st.floats(0, 1) | st.dictionaries(_WORDS, st.floats(0, 1), max_size=2),
                    "faults": st.lists(
                        st.fixed_dictionaries({"kind": st.sampled_from(["400", "die", "hang"])}), max_size=2
                    ),
                },
            )
        }
    ),
)


def _one_or_more(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | st.lists(values, min_size=1, max_size=3)


def _ranges(numbers: Callable[[], st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    return numbers() | st.lists(numbers(), min_size=2, max_size=2).map(sorted)


_SEARCH = st.dictionaries(
    st.just("vote"),
    st.fixed_dictionaries(
        {},
        optional={
            "agents": _ranges(lambda: st.integers(1, 9)),
            "temperature": _ranges(lambda: st.integers(0, 24).map(lambda i: i / 20)),
            "model": st.sampled_from(["any", "small", ["large"], ["small", "large"]]),
        },
    )
    | st.none(),
    min_size=1,
)
_STUDIES = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True),
        "task": st.fixed_dictionaries(
            {"data": _WORDS},
            optional={
                "scorer": st.sampled_from(["exact", {"numeric": {"tolerance": 0.1}}, "mine:score"]),
                "confirm": st.floats(0.01, 0.99),
                "shots": st.integers(0, 9),
                "instruction": st.text(max_size=20),
                "extract": st.sampled_from([None, "(.*)"]),
                "fields": st.dictionaries(st.sampled_from(["id", "question", "answer"]), _WORDS, max_size=3),
            },
        ),
        "models": st.just(["small", "large"]),
        "search": _SEARCH,
    },
    optional={
        "engine": _ENGINES,
        "engine_options": st.fixed_dictionaries(
            {},
            optional={
                "slots": st.integers(4, 9) | st.none(),
                "prefix_cache": st.sampled_from(["cold", "warm"]),
                "prefix_caching": _one_or_more(st.booleans()),
                "max_num_active_seqs": _one_or_more(st.integers(1, 4)) | st.none(),
                "kv_cache_dtype": _one_or_more(_WORDS),
                "quantization": _one_or_more(st.sampled_from(["fp8", "none", None])),
                "tensor_parallel": _one_or_more(st.integers(1, 8)),
            },
        ),
        "objectives": st.dictionaries(
            st.sampled_from(list(objectives())), st.sampled_from(["maximize", "minimize"]), min_size=1, max_size=4
        ),
        "constraints": st.dictionaries(
            st.sampled_from(list(objectives())),
            st.tuples(st.sampled_from(["<=", ">="]), st.floats(-1e6, 1e6)).map(lambda pair: f"{pair[0]} {pair[1]}"),
            max_size=2,
        ),
        "measure": st.fixed_dictionaries({}, optional={"block": st.integers(1, 9), "deadline_s": st.integers(1, 99)}),
        "budget": st.fixed_dictionaries({}, optional={"trials": st.integers(1, 99), "minutes": st.floats(0.1, 99)}),
        "seed": st.integers(0, 2**32 - 1),
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=_STUDIES)
def test_a_study_file_survives_the_way_to_disk_and_back(tmp_path: Path, asked: dict[str, Any]) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(asked, allow_unicode=True), encoding="utf-8")
    read, source = read_study_file(path)
    assert all(
        getattr(read, key) == value for key, value in asked.items() if key in {"name", "models", "search", "seed"}
    )
    assert StudyFile.model_validate(read.model_dump()) == read
    path.write_text(yaml.safe_dump(read.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    again, _ = read_study_file(path)
    assert again == read
    assert again.model_dump(mode="json") == read.model_dump(mode="json")
    assert space_of(read, source)[1] == []


def test_the_studys_identity_is_all_that_was_asked_but_the_budget(tmp_path: Path) -> None:
    first = orkester.load_study(write_study(tmp_path / "a"))
    more = orkester.load_study(write_study(tmp_path / "b", budget={"trials": 60}))
    other = orkester.load_study(write_study(tmp_path / "c", seed=4))
    assert first.id == more.id
    assert first.id != other.id


def test_engine_options_that_came_later_make_no_other_study_until_they_are_used(tmp_path: Path) -> None:
    plain = orkester.load_study(write_study(tmp_path / "a"))
    assert set(plain.identity()["engine_options"]) == {"slots", "context_tokens", "threads", "prefix_caching"}
    for number, (name, asked) in enumerate({**SEARCHED, "prefix_cache": "warm"}.items()):
        other = orkester.load_study(write_study(tmp_path / str(number), engine_options={name: asked}))
        assert other.identity()["engine_options"][name] != plain.identity()["engine_options"].get(name)
        assert other.id != plain.id


def test_roles_make_another_study_once_they_are_given(tmp_path: Path) -> None:
    plain = orkester.load_study(write_study(tmp_path / "a"))
    assert "roles" not in plain.identity()
    assert orkester.load_study(write_study(tmp_path / "b", roles={})).id == plain.id
    asked = {"solo": {"instruction": "Think.", "max_tokens": None}}
    other = orkester.load_study(write_study(tmp_path / "c", roles=asked))
    assert other.identity()["roles"] == asked
    assert other.id != plain.id


def test_a_role_of_the_file_is_that_of_the_pack_with_what_is_said(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "integer"}}}
    asked = {
        "solo": {"instruction": "Think.\n{task}", "temperature": 0.5},
        "debater": {"max_tokens": 9, "sees": "last_draft", "output": schema},
    }
    search = {"single": {}, "debate": {}}
    study = orkester.load_study(write_study(tmp_path, search=search, roles=asked))
    packs = known_roles()
    assert study.task.roles == {
        "solo": replace(packs["solo"], instruction="Think.\n{task}", temperature=0.5),
        "debater": replace(packs["debater"], max_tokens=9, sees="last_draft", output=schema),
    }
    assert study.task.roles["debater"].drafts == packs["debater"].drafts != Role.drafts


def test_other_data_make_another_study(tmp_path: Path) -> None:
    first = orkester.load_study(write_study(tmp_path / "a"))
    other = orkester.load_study(write_study(tmp_path / "b", examples=21))
    assert merged(STUDY, {}) == STUDY
    assert first.id != other.id


@pytest.mark.parametrize(
    "key", ["sk-proj-Ab12Cd34Ef56Gh78", "Ab12Cd34Ef56Gh78Ij90Kl12", 1234567890123456, ["sk-Ab12Cd34"]]
)
@pytest.mark.parametrize(
    "change",
    [
        lambda key: {"engine": {"base_url": "http://x/v1", "api_key_env": key}},
        lambda key: {"engine": {"base_url": "http://x/v1", "api_key": key}},
        lambda key: {"engine": {"base_url": "http://x/v1", "headers": {"Authorization": key}}},
        lambda key: {"models": ["small", {"large": {"request": {"extra": {"api_key": key, "x": "sk-Ab12Cd34"}}}}]},
    ],
)
def test_a_key_in_a_study_file_is_in_no_message(
    key: Any, change: Callable[[Any], dict[str, Any]], tmp_path: Path
) -> None:
    said = refusal(write_study(tmp_path, **change(key)))
    assert "Ab12" not in said
    assert "1234567890123456" not in said


def test_the_temperature_of_a_model_without_one_may_be_searched_for_other_models(tmp_path: Path) -> None:
    models = ["small", {"large": {"request": {"drop": ["temperature"]}}}]
    search = {
        "single": {"model": "any", "temperature": 0.7},
        "vote": {"agents": 2, "model": "small", "temperature": [0.3, 1.0]},
        "cascade": {"first": "small", "then": "large", "votes": 2, "temperature": [0.3, 1.0], "agreement": 1.0},
    }
    study = orkester.load_study(write_study(tmp_path, models=models, search=search))
    assert study.models["large"].request.drop == ("temperature",)
    assert study.identity()["models"]["large"] == {
        "source": "fake",
        "sha256": None,
        "request": {"drop": ["temperature"]},
    }
    plain = orkester.load_study(write_study(tmp_path, search=search))
    assert plain.id != study.id
    assert "request" not in plain.identity()["models"]["large"]
