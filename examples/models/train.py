"""Train the arithmetic family: tiny Llama models in several sizes, small enough to commit.

    python examples/models/train.py arithmetic-80k            # minutes on two cores
    python examples/models/train.py --check examples/models   # accuracies of what is there

Needs torch, transformers, tokenizers, safetensors and gguf (not among Orkester's own dependencies). Every model
sees the same questions: sums and differences of two-digit numbers, sums of three numbers, and products with one
digit. In the last part of the training, batches also carry drafts by other agents, some of them wrong, in the words
of Orkester's debate topology, so that a debate has something to gain; from the beginning they would teach a small
model to copy before it can count. One token is one character; only the answer is in the loss. A question whose CRC-32
is divisible by ten is never trained on: the examples in examples/arithmetic.jsonl and the accuracies printed here
come from those alone.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD, BOS, EOS = 0, 1, 2
CHARACTERS = [chr(code) for code in range(32, 127)] + ["\n"]
IDS = {text: i for i, text in enumerate(["<pad>", "<s>", "</s>", *CHARACTERS])}
VOCABULARY_SIZE = 128
CHAT_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'user' %}<s>{{ m['content'] }}\n"
    "{% elif m['role'] == 'assistant' %}{{ m['content'] }}</s>"
    "{% endif %}{% endfor %}"
)
#: Share of the batches that carry drafts, from this part of the training on.
DRAFTS_SHARE, DRAFTS_FROM = 0.4, 0.6
SEED = 7


@dataclass(frozen=True)
class Size:
    """Shape of one model; the head size is 32 throughout, the smallest that vLLM's CPU attention takes."""

    hidden: int
    intermediate: int
    layers: int
    steps: int
    learning_rate: float


FAMILY = {
    "arithmetic-80k": Size(hidden=64, intermediate=96, layers=2, steps=6000, learning_rate=3e-3),
    "arithmetic-260k": Size(hidden=96, intermediate=160, layers=3, steps=5000, learning_rate=2.5e-3),
    "arithmetic-580k": Size(hidden=128, intermediate=320, layers=3, steps=5000, learning_rate=2e-3),
}


def question_and_answer(rng: random.Random) -> tuple[str, int]:
    kind = rng.random()
    if kind < 0.45:
        a, b = rng.randint(10, 99), rng.randint(10, 99)
        return f"What is {a} + {b}?", a + b
    if kind < 0.70:
        a, b = sorted((rng.randint(10, 99), rng.randint(10, 99)), reverse=True)
        return f"What is {a} - {b}?", a - b
    if kind < 0.90:
        a, b, c = (rng.randint(1, 20) for _ in range(3))
        return f"What is {a} + {b} + {c}?", a + b + c
    a, b = rng.randint(11, 99), rng.randint(2, 9)
    return f"What is {a} * {b}?", a * b


def held_out(question: str) -> bool:
    """Whether a question is kept from training."""
    return zlib.crc32(question.encode()) % 10 == 0


def wrong(answer: int, rng: random.Random) -> int:
    """An answer as a tired pupil would give it: off by one, by ten, a carry lost, or a digit misread."""
    kind = rng.random()
    if kind < 0.6:
        return max(0, answer + rng.choice([-1, 1, -10, 10, -2, 2, -20, 20, -100, 100, 9, -9, 11, -11]))
    digits = list(str(answer))
    digits[rng.randrange(len(digits))] = str(rng.randint(0, 9))
    return int("".join(digits))


def with_drafts(question: str, answer: int, rng: random.Random) -> str:
    """The question as Orkester's debate asks it again; see graphs/debate.py, which uses the same words."""
    right = rng.uniform(0.1, 0.95)
    drafts = [answer if rng.random() < right else wrong(answer, rng) for _ in range(rng.randint(1, 5))]
    listed = "\n".join(f"- {draft}" for draft in drafts)
    return f"{question}\nDrafts from other agents:\n{listed}\nYour answer:"


def draw(rng: random.Random, *, drafts: bool, trained: bool) -> tuple[str, str]:
    while True:
        question, answer = question_and_answer(rng)
        if held_out(question) != trained:
            return (with_drafts(question, answer, rng) if drafts else question), str(answer)


def batch(rng: random.Random, size: int, *, drafts: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Input ids and labels, (size, length) each; labels are -100 outside the answer."""
    rows, labels = [], []
    for _ in range(size):
        question, answer = draw(rng, drafts=drafts, trained=True)
        prompt = [BOS, *(IDS[c] for c in question), IDS["\n"]]
        target = [*(IDS[c] for c in answer), EOS]
        rows.append(prompt + target)
        labels.append([-100] * len(prompt) + target)
    length = max(map(len, rows))
    pad = lambda values, fill: [v + [fill] * (length - len(v)) for v in values]  # noqa: E731
    return torch.tensor(pad(rows, PAD)), torch.tensor(pad(labels, -100))


def train(name: str, out: Path) -> None:
    size = FAMILY[name]
    torch.set_num_threads(1)  # models this small gain nothing from a second; train two sizes at once instead
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    heads = size.hidden // 32
    config = LlamaConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=512,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{name}: {parameters:,} parameters, {size.steps} steps", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=size.learning_rate, weight_decay=0.01)
    start = time.monotonic()
    for step in range(size.steps):
        warm_up = min(1.0, (step + 1) / 100)
        rate = size.learning_rate * warm_up * (0.5 + 0.5 * math.cos(math.pi * step / size.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        drafts = step >= DRAFTS_FROM * size.steps and rng.random() < DRAFTS_SHARE
        ids, labels = batch(rng, 256, drafts=drafts)
        loss = model(input_ids=ids, labels=labels).loss  # right padding: causal attention never sees it
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 250 == 0 or step == size.steps - 1:
            print(f"  step {step:5d}  loss {loss.item():.4f}  {time.monotonic() - start:.0f} s", flush=True)
    seconds = time.monotonic() - start

    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    model = model.to(torch.bfloat16)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tokenizer = character_tokenizer()
    tokenizer.save_pretrained(folder)
    write_gguf(model, folder / f"{name}.gguf", name)
    record = {
        "model": name,
        "parameters": parameters,
        "recipe": {
            **asdict(size),
            "batch": 256,
            "seed": SEED,
            "drafts_share": DRAFTS_SHARE,
            "drafts_from": DRAFTS_FROM,
        },
        "training_s": round(seconds),
        "torch": torch.__version__,
        "accuracy": accuracies(model.float()),
    }
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record["accuracy"]), flush=True)


def character_tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE(vocab={**IDS, "<unk>": len(IDS)}, merges=[], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(pattern=Regex(".|\n"), behavior="isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens(["<pad>", "<s>", "</s>"])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


@torch.no_grad()
def accuracies(model: LlamaForCausalLM, questions: int = 400) -> dict[str, float]:
    """Share of exact answers on questions that were never trained on: alone and with drafts, greedy and sampled."""
    model.eval()
    result = {}
    for drafts in (False, True):
        for temperature in (0.0, 0.8):
            rng = random.Random(12345)
            torch.manual_seed(12345)
            right = 0
            for _ in range(questions):
                question, answer = draw(rng, drafts=drafts, trained=False)
                ids = torch.tensor([[BOS, *(IDS[c] for c in question), IDS["\n"]]])
                sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {}
                out = model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=6,
                    pad_token_id=PAD,
                    eos_token_id=EOS,
                    **sampling,
                )
                tokens = [t for t in out[0][ids.shape[1] :].tolist() if t > EOS]
                right += "".join(CHARACTERS[t - 3] for t in tokens if t - 3 < len(CHARACTERS)) == answer
            key = f"{'drafts' if drafts else 'alone'}_{'greedy' if not temperature else f't{temperature}'}"
            result[key] = right / questions
    return result


def write_gguf(model: LlamaForCausalLM, path: Path, name: str) -> None:
    """The same weights for llama.cpp: matrices as float16, q and k rows in llama.cpp's rotary order."""
    config = model.config
    weights = {key: value.float().numpy() for key, value in model.state_dict().items()}
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)

    # llama.cpp's "gpt2" tokenizer wants every id filled and at least one merge; it writes space and newline as Ġ and Ċ.
    texts = {i: text for text, i in IDS.items()}
    tokens, kinds = [], []
    for i in range(config.vocab_size):
        text = texts.get(i)
        if text is None:
            tokens.append(f"<unused{i}>")
            kinds.append(gguf.TokenType.UNUSED)
        elif i <= EOS:
            tokens.append(text)
            kinds.append(gguf.TokenType.CONTROL)
        else:
            tokens.append({" ": "Ġ", "\n": "Ċ"}.get(text, text))
            kinds.append(gguf.TokenType.NORMAL)
    tokens[-1], kinds[-1] = "~~", gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["~ ~"])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_pad_token_id(PAD)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)

    heads = config.num_attention_heads

    def rotary(matrix: np.ndarray) -> np.ndarray:
        half = matrix.shape[0] // heads // 2
        return matrix.reshape(heads, 2, half, *matrix.shape[1:]).swapaxes(1, 2).reshape(matrix.shape)

    def add(target: str, source: str, *, permute: bool = False) -> None:
        matrix = rotary(weights[source]) if permute else weights[source]
        writer.add_tensor(target, matrix.astype(np.float16) if matrix.ndim > 1 else matrix.astype(np.float32))

    add("token_embd.weight", "model.embed_tokens.weight")
    add("output_norm.weight", "model.norm.weight")
    for layer in range(config.num_hidden_layers):
        ours, theirs = f"blk.{layer}.", f"model.layers.{layer}."
        add(ours + "attn_norm.weight", theirs + "input_layernorm.weight")
        add(ours + "ffn_norm.weight", theirs + "post_attention_layernorm.weight")
        add(ours + "attn_q.weight", theirs + "self_attn.q_proj.weight", permute=True)
        add(ours + "attn_k.weight", theirs + "self_attn.k_proj.weight", permute=True)
        add(ours + "attn_v.weight", theirs + "self_attn.v_proj.weight")
        add(ours + "attn_output.weight", theirs + "self_attn.o_proj.weight")
        for part in ("gate", "up", "down"):
            add(f"{ours}ffn_{part}.weight", f"{theirs}mlp.{part}_proj.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_examples(path: Path, count: int = 400) -> None:
    """Held-out questions, each once, as JSON lines."""
    rng = random.Random(2026)
    seen: dict[str, str] = {}
    while len(seen) < count:
        question, answer = draw(rng, drafts=False, trained=False)
        seen.setdefault(question, answer)
    rows = (
        json.dumps({"id": f"arithmetic-{i}", "question": question, "answer": answer})
        for i, (question, answer) in enumerate(seen.items())
    )
    path.write_text("\n".join(rows) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", choices=[*FAMILY, []], help="which to train; all when none is named")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--check", type=Path, metavar="DIR", help="print the accuracies of the models in DIR and stop")
    parser.add_argument("--examples", type=Path, metavar="FILE", help="write held-out questions to FILE and stop")
    options = parser.parse_args()
    if options.examples:
        write_examples(options.examples)
    elif options.check:
        for name in FAMILY:
            model = LlamaForCausalLM.from_pretrained(options.check / name, dtype=torch.float32)
            print(name, json.dumps(accuracies(model)))
    else:
        for name in options.models or FAMILY:
            train(name, options.out)


if __name__ == "__main__":
    main()
