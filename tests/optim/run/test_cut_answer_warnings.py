"""Warnings of cut answers: what was cut, in how many teams, and which setting is the remedy."""

from dataclasses import replace
from typing import Any

from chosen import entry, measurement

from orkester.agents import Role
from orkester.evals.summaries.cut_answers import CutAnswers
from orkester.optim.run.cut_answer_warnings import notable_share, run_warnings, team_warnings
from orkester.optim.run.results import TeamResult
from orkester.optim.study.answer_limits import AnswerLimits

LIMITS = AnswerLimits(task=64)
MANIFEST = {"study": {"task": {"max_tokens": 64}}}
QUALITY = {"quality": 0.0}


def counts(cut: int = 8, replies: int = 8, **changes: Any) -> CutAnswers:
    known: dict[str, Any] = {"agent": "voter", "model": "small", "cut_thoughts": 0, "only_thoughts": 0}
    return CutAnswers(**{**known, "cut": cut, "replies": replies, **changes})


def team(agents: int, *cut: CutAnswers) -> TeamResult:
    return replace(entry(agents, QUALITY), search=measurement(QUALITY, cut=cut))


def test_the_remedy_is_the_limit_of_the_task_with_its_value() -> None:
    (warning,) = team_warnings("vote", [counts(3)], LIMITS)
    assert warning.text == (
        "3 of 8 answers of small were cut off at the token limit. Remedy: raise task.max_tokens (now 64)."
    )


def test_the_remedy_is_the_limit_of_the_role_where_it_has_one() -> None:
    (of_pack,) = team_warnings("reflect", [counts(agent="critic")], LIMITS)
    assert "raise roles.critic.max_tokens (now 128)." in of_pack.text
    changed = AnswerLimits(task=64, roles={"voter": Role(name="voter", max_tokens=1000)})
    (of_study,) = team_warnings("vote", [counts()], changed)
    assert "raise roles.voter.max_tokens (now 1,000)." in of_study.text


def test_a_cut_thought_is_said() -> None:
    (some,) = team_warnings("vote", [counts(cut_thoughts=5)], LIMITS)
    assert "5 of them inside the thought, so that there is no answer and the score is 0" in some.text
    (every,) = team_warnings("vote", [counts(cut_thoughts=8)], LIMITS)
    assert "all of them inside the thought" in every.text
    assert every.text.endswith("so that the thought and the answer fit, or turn the model's thinking off.")


def test_thoughts_without_an_answer_that_were_not_cut_have_another_remedy() -> None:
    (warning,) = team_warnings("vote", [counts(0, only_thoughts=4)], LIMITS)
    assert warning.text.startswith("4 of 8 replies of small are a thought without an answer")
    assert "reasoning parser" in warning.text
    assert "max_tokens" not in warning.text


def test_a_few_cut_answers_are_no_warning() -> None:
    assert team_warnings("vote", [counts(1)], LIMITS) == ()
    assert team_warnings("vote", [counts(2, 40)], LIMITS) == ()


def test_a_run_has_one_line_for_each_model_and_setting() -> None:
    teams = [team(2, counts()), team(3, counts(4)), team(4, counts(8, model="large")), team(5)]
    first, second = run_warnings(teams, MANIFEST)
    assert first.startswith("12 of 16 answers of small in 2 of 4 teams were cut off")
    assert second.startswith("8 of 8 answers of large in 1 of 4 teams were cut off")
    assert run_warnings([team(5)], MANIFEST) == ()
    assert run_warnings(teams[:1], MANIFEST)[0].startswith("8 of 8 answers of small were cut off")


def test_the_share_of_a_team_is_that_of_its_worst_agent() -> None:
    assert notable_share(team(2, counts(3), counts(1, agent="critic"))) == "38 %"
    assert notable_share(team(2)) == ""


def test_a_limit_that_is_not_known_has_no_value() -> None:
    assert str(AnswerLimits().of("vote", "voter")) == "task.max_tokens"
    assert str(AnswerLimits(task=64).of("not_installed", "voter")) == "task.max_tokens (now 64)"


def test_replies_shorter_than_the_limit_may_have_reached_the_context() -> None:
    (warning,) = team_warnings("vote", [counts(longest=60)], LIMITS)
    assert "The longest of them has only 60 tokens" in warning.text
    assert "engine_options.context_tokens" in warning.text
    (at_limit,) = team_warnings("vote", [counts(longest=64)], LIMITS)
    assert "context" not in at_limit.text
    (most,) = run_warnings([team(2, counts(longest=64)), team(3, counts(longest=3))], MANIFEST)
    assert "context" not in most
