"""A table of faults in study files, and what is said of each."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from refusals import ELSEWHERE, LLAMACPP, line_of, refusal
from support import write_study

from orkester.evals.objectives import objectives

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
        ["'vot' (did you mean 'vote'?). Known: ", "best_of_n, cascade, debate"],
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
