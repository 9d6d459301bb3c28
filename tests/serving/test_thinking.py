"""Thoughts and stop tokens are cut, and answers that only mention them stay as they are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orkester.serving.chat import Reply
from orkester.serving.thinking import SplitText, server_thought, split_thought, with_answer_only


@pytest.mark.parametrize(
    "text",
    [
        "<think>\nFirst 7 then 9\n</think>\n\n42",
        "  \n<think>7</think>42",
        "<thinking>7</thinking>42",
        "<reasoning>7</reasoning>\n42",
        "<thought>7</thought> 42",
        "<Think>7</THINK>42",
        '<think lang="en">7</think>42',
        "<seed:think>7</seed:think>42",
        "[THINK]7[/THINK]42",
        "<|begin_of_thought|>7<|end_of_thought|>\n<|begin_of_solution|>42<|end_of_solution|>",
        "<|START_THINKING|>7<|END_THINKING|><|START_RESPONSE|>42<|END_RESPONSE|>",
        "◁think▷7◁/think▷42",
        "<think>7</think><answer>42</answer>",
        "<think>7</think>\n<answer>\n42",
        # The channels of gpt-oss, with and without their special tokens, and begun inside the first one.
        "<|channel|>analysis<|message|>7<|end|><|start|>assistant<|channel|>final<|message|>42<|return|>",
        "<|start|>assistant<|channel|>analysis<|message|>7<|end|><|channel|>final<|message|>42",
        (
            "<|channel|>analysis<|message|>7<|end|><|start|>assistant<|channel|>commentary<|message|>8<|end|>"
            "<|start|>assistant<|channel|>final <|constrain|>json<|message|>42<|return|>"
        ),
        "7<|end|><|start|>assistant<|channel|>final<|message|>42",
        "analysis7assistantfinal42",
        # The chat template wrote the opening tag.
        "First 7 then 9\n</think>\n\n42",
        "7[/THINK]42",
        "7</think>42<|im_end|>",
        # The thought mentions the tags, or another thought follows.
        "<think>I end with `</think>` now.</think>42",
        "<think>a <think>b</think> c</think>42",
        "<think>The user wrote <think> here.</think>42",
        "<think>7</thinking>42",
        "<think>7</think>\n<think>8</think>\n42",
        "Here is my thought process: 7 Here is my response: 42",
        "<|im_start|>assistant\n<think>7</think>42<|im_end|>",
    ],
)
def test_a_thought_at_the_beginning_is_cut(text: str) -> None:
    split = split_thought(text)
    assert split.answer == "42"
    assert split.thought
    assert "42" not in split.thought


@pytest.mark.parametrize(
    "text",
    [
        "<think>\nOkay, let me add the numbers. 3 plus",
        "[THINK]3 plus 4",
        "<|channel|>analysis<|message|>We need 7",
        "<|channel|>analysis<|message|>We need 7<|end|><|start|>assistant<|channel|>fin",
        "<think>7</think>",
        "<think>7</think>\n<think>or 8",
        "<think>It ends with `</tag>`, says 7",
        "7 is it</think>\n",
    ],
)
def test_a_thought_without_an_answer_has_none(text: str) -> None:
    split = split_thought(text)
    assert split.answer == ""
    assert split.thought


@pytest.mark.parametrize(
    "text",
    [
        "42",
        "",
        "Use <think>a thought</think> tags around it.",
        "Close it with `</think>`.",
        "```xml\n<think>a</think>\n```\nThis is the prompt.",
        "```python\ntext.split('</think>')\n```",
        "<html><think>x</think></html>",
        "<reason>late</reason>",
        "analysis of variance: 3",
        "Here is my thought process: 7, so 42.",
        "[1, 2, 3]",
        # Stop tokens that the answer is about.
        "ChatML uses <|im_end|> to end a message.",
        'print("<|im_end|>")',
        'GPT-2 has the token "<|endoftext|>" as its end.',
        "```\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n```",
        r'f"<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n{a}"',
        "<s>old</s>",
        "<p><s>1</s> 2</p>",
    ],
)
def test_an_answer_without_a_thought_stays_as_it_is(text: str) -> None:
    assert split_thought(text) == SplitText("", text)


def test_after_a_thought_the_answer_may_have_tags() -> None:
    answer = "The tag is closed by </think>; write <think>a</think>."
    assert split_thought(f"<think>7</think>{answer}") == SplitText("7", answer)


def test_an_empty_thought_is_none() -> None:
    assert split_thought("<think>\n\n</think>\n\n42") == SplitText("", "42")


@pytest.mark.parametrize(
    "rest",
    [
        *("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "</s>", "<|endoftext|>", "<|end|>", "<|end_of_text|>", "<eos>"),
        "<｜end▁of▁sentence｜>",
        "\n<|im_end|>\n",
        "</s></s>",
        "<|im_end|>\n<|endoftext|>",
        "<|im_end|>\n<|im_start|>user\nWhat is 3 + 4?",
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nWhat is 3 + 4?",
        "<|eot_id|><|start_header_id|>user",
        "<end_of_turn>\n<start_of_turn>user\nWhat is 3 + 4?",
        "</s>[INST] What is 3 + 4? [/INST] 7</s>",
        "</s><s>[INST] 3 + 4 [/INST]",
        "<|end|>\n<|user|>\n3 + 4<|end|>",
        "<|im_end|>\nuser\nWhat is 3 + 4?",
        "<|im_end|>\nHuman: What is 3 + 4?",
        "<|endoftext|>Human: What is 3 + 4?",
        "<|endoftext|>The next text has the number 7.",
        "<|im_start|>user\nWhat is 3 + 4?",
    ],
)
def test_stop_tokens_and_a_new_turn_after_them_are_cut(rest: str) -> None:
    assert split_thought("42" + rest).answer == "42"
    assert split_thought(f"<think>7</think>42{rest}") == SplitText("7", "42")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *("<think>", "</think>", "[THINK]", "[/THINK]", "<|channel|>", "analysis", "final", "<|message|>"),
                *("<|end|>", "<|start|>assistant", "<|im_end|>", "<|im_start|>user\n", "</s>", "<s>", "`", "```", "\n"),
                *(" ", "42", "so", "<answer>", "</answer>", "<|endoftext|>", "user:"),
            ]
        ),
        max_size=14,
    ).map("".join)
)
def test_any_text_is_split_without_an_error(text: str) -> None:
    split = split_thought(text)
    assert split.answer == split.answer.strip()
    assert len(split.answer) <= len(text)


def reply(text: str, output_tokens: int | None = 100) -> Reply:
    return Reply(text=text, input_tokens=5, output_tokens=output_tokens, cached_tokens=None, latency_s=1.0)


def test_the_tokens_of_a_thought_are_estimated_from_its_characters() -> None:
    found = with_answer_only(reply("<think>" + "a" * 75 + "</think>" + "b" * 25))
    assert (found.text, found.thought, found.thought_tokens, found.thought_estimated) == (
        "b" * 25,
        "answered",
        75,
        True,
    )
    assert found.raw_text == "<think>" + "a" * 75 + "</think>" + "b" * 25


def test_an_answer_keeps_at_least_one_token_of_the_estimate() -> None:
    assert with_answer_only(reply("<think>" + "a" * 75 + "</think>5", 3)).thought_tokens == 2


def test_the_count_of_the_server_is_used_where_there_is_one() -> None:
    found = with_answer_only(reply("<think>a</think>b"), reasoning_tokens=90)
    assert (found.thought_tokens, found.thought_estimated) == (90, False)
    hidden = with_answer_only(reply("5"), reasoning_tokens=90)
    assert (hidden.text, hidden.thought, hidden.thought_tokens) == ("5", "answered", 90)
    assert hidden.raw_text is None


@pytest.mark.parametrize("reported", [0, None, -3, True, "many", 1e400, [], {}])
def test_a_count_that_is_none_is_not_used(reported: object) -> None:
    assert with_answer_only(reply("5"), reasoning_tokens=reported).thought == ""
    assert with_answer_only(reply("<think>a</think>b"), reasoning_tokens=reported).thought_tokens == 50


@pytest.mark.parametrize("reported", [90.0, "90"])
def test_a_count_in_another_form_is_read(reported: object) -> None:
    assert with_answer_only(reply("5"), reasoning_tokens=reported).thought_tokens == 90


def test_without_counted_tokens_those_of_the_thought_are_not_known() -> None:
    found = with_answer_only(reply("<think>a</think>b", None))
    assert (found.thought, found.thought_tokens) == ("answered", None)


def test_a_reply_is_cut_once() -> None:
    once = with_answer_only(reply("<think>a</think>b"))
    assert with_answer_only(once) is once


@pytest.mark.parametrize(
    "message",
    [
        {"content": "5", "reasoning_content": "\nwhy"},
        {"content": "5", "reasoning": "why"},
        {"content": "5", "reasoning": "why", "reasoning_content": None},
        {"content": "5", "thinking": "why"},
        {"content": [{"type": "thinking", "thinking": "why"}, {"type": "text", "text": "5"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}]},
        {"content": [{"type": "reasoning", "text": "why"}]},
    ],
)
def test_a_thought_that_the_server_sends_apart_is_read(message: object) -> None:
    assert server_thought(message) == "why"


@pytest.mark.parametrize(
    "message", [None, "why", {}, {"content": "5", "reasoning": None}, {"reasoning": 5}, {"content": ["why"]}]
)
def test_a_message_without_a_thought_has_none(message: object) -> None:
    assert server_thought(message) == ""
