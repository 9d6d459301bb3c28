"""Examples that are variants of each other stay so."""

from support import ROOT

import orkester


def test_the_vllm_example_is_the_arithmetic_example_on_vllm() -> None:
    plain = orkester.load_study(ROOT / "examples" / "arithmetic.yaml").file
    vllm = orkester.load_study(ROOT / "examples" / "arithmetic-vllm.yaml").file
    assert vllm.engine == "vllm"
    same = {"name": "", "engine": "auto", "engine_options": None}
    assert vllm.model_copy(update=same) == plain.model_copy(update=same)
    assert vllm.engine_options.context_tokens == plain.engine_options.context_tokens
