"""Turns GGUF weights into a folder in Hugging Face's layout, and compares the two.

Run by ``environments/_convert.py`` as a script with the Python of vLLM's environment, never imported. It takes its
options as JSON in ``argv[1]``, and writes what it does and at last what it found as JSON lines to standard output.

vLLM reads no GGUF. What is written is bfloat16 without quantisation: the file's numbers, at two bytes each.
"""

import gc
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def main(options: dict[str, Any]) -> None:
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is for the log

    def tell(**line: object) -> None:
        print(json.dumps(line), file=told, flush=True)

    target = Path(options["target"])
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import accelerate  # noqa: F401 - needed by transformers
        import gguf  # noqa: F401 - needed by transformers
        import transformers
    except ModuleNotFoundError as error:
        tell(missing=error.name)
        sys.exit(3)
    transformers.utils.logging.disable_progress_bar()
    # In a folder of its own: transformers would take a config.json or tokenizer.json beside the file instead of what
    # the file says.
    with tempfile.TemporaryDirectory(dir=target) as alone:
        source = Path(alone) / "weights.gguf"
        source.symlink_to(options["weights"])
        tell(say="reading the weights")
        model = _read(source)
        tell(say="writing them as bfloat16")
        model.save_pretrained(target)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        _begin_prompts(tokenizer, options["reference"]["bos"])
        tokenizer.save_pretrained(target)
    del model, tokenizer
    gc.collect()
    tell(say="comparing the result with llama.cpp")
    tell(**_compare(target, options["reference"]))
    for path in target.iterdir():
        path.chmod(0o644)  # the weights alone are written for the owner only


def _read(source: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    # It is not quantised any more, which transformers does not notice.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model


def _begin_prompts(tokenizer: Any, bos: int | None) -> None:
    """Put the token before every prompt that llama.cpp puts there, which transformers does not take from the file.

    Without it Gemma, for one, answers nonsense.
    """
    if bos is None:
        return
    from tokenizers.processors import TemplateProcessing

    text = tokenizer.convert_ids_to_tokens(bos)
    tokenizer.bos_token = text
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{text} $A", pair=f"{text} $A {text}:1 $B:1", special_tokens=[(text, bos)]
    )
    # A chat's tokens are those of its template alone.
    if tokenizer.chat_template:
        rendered = tokenizer.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)
        if not rendered.startswith(text):
            tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template


def _compare(folder: Path, reference: dict[str, Any]) -> dict[str, Any]:
    """How many of llama.cpp's next tokens are this model's too, and whether it cuts text into the same tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    agreed = asked = 0
    cut_otherwise = []
    for each in reference["texts"]:
        prompt, answer = each["prompt"], each["answer"]
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + answer])).logits[0]
        best = logits.argmax(dim=-1).tolist()[len(prompt) - 1 : -1]
        agreed += sum(one == other for one, other in zip(best, answer, strict=True))
        asked += len(answer)
        if tokenizer(each["text"])["input_ids"] != prompt:
            cut_otherwise.append(each["text"])
    return {"agreed": agreed, "asked": asked, "cut_otherwise": cut_otherwise}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
