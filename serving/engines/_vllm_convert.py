"""Converts GGUF weights to a folder in Hugging Face's layout, and compares the two.

``environments/_convert.py`` runs this file as a script with the Python of vLLM's environment; it is never imported. It
takes its options as JSON in ``argv[1]`` and writes JSON lines to standard output: its progress, and at last the result
of the comparison.

vLLM cannot read GGUF. The converted weights are not quantised: each of the file's numbers becomes a bfloat16 value of
two bytes.
"""

import gc
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def main(options: dict[str, Any]) -> None:
    parent_output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the output of libraries goes to the log

    def send(**line: object) -> None:
        print(json.dumps(line), file=parent_output, flush=True)

    target = Path(options["target"])
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import accelerate  # noqa: F401 - needed by transformers
        import gguf  # noqa: F401 - needed by transformers
        import transformers
    except ModuleNotFoundError as error:
        send(missing=error.name)
        sys.exit(3)
    transformers.utils.logging.disable_progress_bar()
    # The file is linked into an empty folder, because transformers would prefer a config.json or a tokenizer.json
    # beside the file to the values inside the file.
    with tempfile.TemporaryDirectory(dir=target) as source_folder:
        source = Path(source_folder) / "weights.gguf"
        source.symlink_to(options["weights"])
        send(say="reading the weights")
        model = _read(source)
        send(say="writing the weights as bfloat16")
        model.save_pretrained(target)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        _add_bos_token(tokenizer, options["reference"]["bos"])
        tokenizer.save_pretrained(target)
    del model, tokenizer
    gc.collect()
    send(say="comparing the result with llama.cpp")
    send(**_compare(target, options["reference"]))
    for path in target.iterdir():
        path.chmod(0o644)  # transformers makes the weights readable for their owner only


def _read(source: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    # The model is no longer quantised, but transformers still marks it as quantised.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model


def _add_bos_token(tokenizer: Any, bos: int | None) -> None:
    """Make the tokenizer put the BOS token before every prompt, as llama.cpp does.

    transformers does not read this setting from the file. Without the token some models, such as Gemma, answer
    nonsense.
    """
    if bos is None:
        return
    from tokenizers.processors import TemplateProcessing

    text = tokenizer.convert_ids_to_tokens(bos)
    tokenizer.bos_token = text
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{text} $A", pair=f"{text} $A {text}:1 $B:1", special_tokens=[(text, bos)]
    )
    # The post-processor does not apply to a chat, so the template itself must begin with the token.
    if tokenizer.chat_template:
        rendered = tokenizer.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)
        if not rendered.startswith(text):
            tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template


def _compare(folder: Path, reference: dict[str, Any]) -> dict[str, Any]:
    """Compare the converted model with llama.cpp: the next tokens, and the division of texts into tokens."""
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
