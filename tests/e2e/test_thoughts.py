"""Studies of models that think, and of models whose answers are cut off, against a server that is not a model."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support import quick_folder, write_study

import orkester
from orkester.cli.best import print_choice
from orkester.cli.results import print_front
from orkester.evals.records.block import Call
from orkester.optim.run.cut_answer_warnings import run_warnings
from orkester.optim.run.events import AnswersCut, Event

#: A message and its finish reason, from the right answer.
Say = Callable[[str], tuple[Mapping[str, Any], str]]

ANSWERED: dict[str, Say] = {
    "tags": lambda answer: ({"content": f"<think>\nFirst 7, then 9\n</think>\n\n{answer}"}, "stop"),
    "closing_tag_only": lambda answer: ({"content": f"First 7, then 9\n</think>\n\n{answer}"}, "stop"),
    "apart": lambda answer: ({"content": answer, "reasoning_content": "First 7, then 9"}, "stop"),
    "channels": lambda answer: (
        {"content": f"<|channel|>analysis<|message|>7<|end|><|start|>assistant<|channel|>final<|message|>{answer}"},
        "stop",
    ),
    "stop_token": lambda answer: ({"content": f"{answer}<|im_end|>\n<|im_start|>user\nAnd 7?"}, "stop"),
}
CUT: dict[str, Say] = {
    "tags": lambda _: ({"content": "<think>\nOkay, let me add the numbers. 3 plus"}, "length"),
    "apart": lambda answer: ({"content": None, "reasoning_content": f"so {answer}"}, "length"),
    "no_thought": lambda _: ({"content": "To solve it we first note that"}, "length"),
    "nothing": lambda _: ({"content": ""}, "length"),
}


@contextmanager
def server(say: Say) -> Iterator[str]:
    """A server of OpenAI's form that replies by a function."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            sum_asked = re.search(r"(\d+) \+ (\d+)", json.dumps(asked["messages"][-1]))
            answer = str(int(sum_asked[1]) + int(sum_asked[2])) if sum_asked else "0"
            message, reason = say(answer)
            choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
            usage = {"prompt_tokens": 10, "completion_tokens": 16}
            self.reply({"choices": [choice], "usage": usage})

        def do_GET(self) -> None:
            self.reply({"object": "list", "data": [{"id": "thinker"}]})

        def reply(self, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/v1"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def tuned(folder: Path, say: Say, **changes: Any) -> tuple[orkester.Run, list[Event]]:
    """A run of a vote and two single agents on a model that replies by a function, and its events."""
    events: list[Event] = []
    with server(say) as url:
        study = write_study(
            folder / "study",
            whole=True,
            models=["thinker"],
            engine={"base_url": url},
            search={
                "single": {"model": "any", "temperature": [0.0, 0.05]},
                "vote": {"agents": 3, "model": "any", "temperature": 0.5},
            },
            objectives={"quality": "maximize", "calls": None, "output_tokens": "minimize"},
            budget={"trials": 3},
            **changes,
        )
        return orkester.tune(study, folder / "run", observer=events.append), events


def calls(run: orkester.Run) -> list[Call]:
    return [call for block in run.blocks for example in block.examples for call in example.calls]


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as path:
        yield path


@pytest.mark.parametrize("kind", ANSWERED)
def test_the_answer_after_a_thought_is_scored(folder: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    run, events = tuned(folder, ANSWERED[kind])
    assert [result.search.estimates["quality"].value for result in run.results.teams if result.search] == [1.0] * 3
    assert {example.answer for block in run.blocks for example in block.examples} <= {str(2 * i) for i in range(20)}
    thinks = kind != "stop_token"
    assert {call.thought for call in calls(run)} == {"answered" if thinks else ""}
    assert all(0 < (call.thought_tokens or 0) < 16 for call in calls(run)) is thinks
    assert not any(isinstance(event, AnswersCut) for event in events)
    print_front(run)
    shown = capsys.readouterr().out
    assert ("Thoughts: " in shown) is thinks
    assert "Cut answers" not in shown
    assert ("thought tokens (estimated)" in run.report.read_text()) is thinks


@pytest.mark.parametrize("kind", CUT)
def test_cut_answers_are_said_with_the_remedy(folder: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    run, events = tuned(folder, CUT[kind])
    assert [result.search.estimates["quality"].value for result in run.results.teams if result.search] == [0.0] * 3
    assert not any(example.failure for block in run.blocks for example in block.examples)
    (said,) = [event.warning for event in events if isinstance(event, AnswersCut)]  # once, although three teams are cut
    assert "raise task.max_tokens (now 16)" in said
    assert ("inside the thought" in said) is (kind in {"tags", "apart"})
    (line,) = run.cut_answers
    assert "in 3 of 3 teams" in line
    assert run.as_json()["cut_answers"] == [line]
    assert "Cut answers." in run.report.read_text()
    assert "raise task.max_tokens (now 16)" in run.report.read_text()
    print_front(run)
    shown = capsys.readouterr().out
    assert " cut " in shown.splitlines()[0]
    assert "100 %" in shown
    assert f"Cut answers: {line}"[:60] in shown
    choice = orkester.best(run)
    print_choice(choice, None, cut_answers=run_warnings([choice.result], run.manifest))
    assert "Cut answers: " in capsys.readouterr().out


def test_the_limit_of_a_role_is_the_remedy_for_its_agent(folder: Path) -> None:
    run, events = tuned(folder, CUT["no_thought"], roles={"voter": {"max_tokens": 12}})
    said = [event.warning for event in events if isinstance(event, AnswersCut)]
    assert len(said) == 2
    assert any("raise roles.voter.max_tokens (now 12)" in warning for warning in said)
    assert len(run.cut_answers) == 2
