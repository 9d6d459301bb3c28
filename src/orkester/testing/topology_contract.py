"""The contract of topologies: the tests that every topology must pass. Subclass it with a name and some cases."""

import asyncio
import dataclasses
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from langgraph.graph.state import CompiledStateGraph

from orkester.agents import Role
from orkester.errors import CallFailed, InputError
from orkester.graphs import (
    Between,
    KnobValue,
    OneOf,
    OneOfModels,
    Team,
    TeamContext,
    Topology,
    check_value,
    form_of,
    topology,
)
from orkester.testing.scripted import ChatCall, ScriptedModel, scripted_models, turns

#: A question with an image, as content parts of OpenAI's chat format.
PARTS = (
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
)


def same_answer(call: ChatCall) -> str:
    """An answer function: all calls get the same answer."""
    return "Oslo"


def different_answers(call: ChatCall) -> str:
    """An answer function: no two calls get the same answer."""
    return f"{call.model} {call.agent} {call.sample}"


def texts(call: ChatCall) -> str:
    """The texts of all messages of a call."""
    parts = [part for message in call.messages for part in content_of(message)]
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def content_of(message: Mapping[str, Any]) -> Sequence[Any]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


@dataclass(frozen=True)
class Case:
    """A team with the expected numbers of calls. The models have the names ``small`` and ``large``.

    Attributes:
        knobs: The values of the knobs.
        calls: The expected number of calls of each model, by its name.
        answer: Returns the answers of the models.
    """

    knobs: Mapping[str, KnobValue]
    calls: Mapping[str, int]
    answer: Callable[[ChatCall], str] = same_answer

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.knobs.values()))}-{self.answer.__name__}"


class TopologyContract:
    """The contract of all topologies.

    A subclass sets the name of the topology and some cases. All cases together must set each knob to at least two
    values.
    """

    name: str
    cases: Sequence[Case]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases, ids=str)

    @property
    def topology(self) -> Topology:
        return topology(self.name)

    @property
    def roles(self) -> Mapping[str, Role]:
        """The roles of the topology, from the role packs."""
        return self.topology.default_roles

    async def run(self, case: Case, models: Mapping[str, ScriptedModel], question: Any = "?", **settings: Any) -> str:
        """Run the graph as a user of LangGraph would, and return its answer."""
        context = self.topology.context(**{**case.knobs, "models": models, **settings})
        result = await self.topology.graph.ainvoke({"question": question}, context=context)
        assert isinstance(result["answer"], str)
        return result["answer"]

    # -- what it is -----------------------------------------------------------------------------------------------

    def test_it_is_a_compiled_graph_with_a_context_of_its_own(self) -> None:
        plan = self.topology
        assert isinstance(plan.graph, CompiledStateGraph)
        assert plan.graph.context_schema is plan.context
        assert plan.name == self.name
        assert issubclass(plan.context, TeamContext)
        assert dataclasses.is_dataclass(plan.context)
        assert set(plan.graph.get_input_jsonschema()["properties"]) == {"question"}
        assert "answer" in plan.graph.get_output_jsonschema()["properties"]

    def test_every_field_of_its_own_is_a_knob_with_a_default_in_its_range(self) -> None:
        own = {field.name for field in dataclasses.fields(self.topology.context)}
        own -= {field.name for field in dataclasses.fields(TeamContext)}
        assert set(self.topology.knobs) == own
        for knob in self.topology.knobs.values():
            check_value(knob, knob.default)
            match knob.range:
                case Between(low, high, step):
                    assert knob.kind in {int, float}
                    assert low < high
                    assert step is None or 0 < step <= high - low
                case OneOf(choices):
                    assert knob.kind is str
                    assert len(set(choices)) == len(choices) > 1
                case OneOfModels():
                    assert knob.kind is str

    def test_the_cases_are_teams_and_move_every_knob(self) -> None:
        for case in self.cases:
            assert Team(self.name, case.knobs).check().models
        for name in self.topology.knobs:
            assert len({case.knobs[name] for case in self.cases}) > 1, f"every case has the same {name}"

    def test_its_module_shows_its_graph(self) -> None:
        text = sys.modules[self.topology.context.__module__].__doc__ or ""
        drawn = self.topology.graph.get_graph().draw_mermaid(with_styles=False)
        shown = text[text.index("graph TD;") :]
        assert shown.split() == drawn.split(), f"the drawing in the docstring is not the graph's:\n{drawn}"

    def test_its_form_follows_from_the_knobs_that_it_says_decide(self, case: Case) -> None:
        plan = self.topology
        assert set(plan.decided_by) <= set(plan.knobs)
        form = form_of(self.name, case.knobs)
        stand_ins = {name: object() for name in case.knobs if name not in plan.decided_by}
        try:
            image = form_of(self.name, {**case.knobs, **stand_ins})
        except InputError as error:
            raise AssertionError(f"canonical looks at a knob that decided_by does not name: {error}") from error
        values = {id(stand_in): case.knobs[name] for name, stand_in in stand_ins.items()}
        assert {name: values.get(id(value), value) for name, value in image.knobs.items()} == form.knobs, (
            "the form depends on a knob that decided_by does not name"
        )
        own = topology(form.topology).knobs
        assert set(form.knobs) <= set(own), f"canonical returns knobs that {form.topology} does not have"
        defaults = {knob.name: knob.default for knob in topology(form.topology).knobs.values()}
        assert form_of(form.topology, {**defaults, **form.knobs}) == form, "the form is not its own form"

    async def test_settings_with_the_same_form_make_the_same_calls(self, case: Case) -> None:
        form = form_of(self.name, case.knobs)
        settings: list[tuple[str, Mapping[str, KnobValue]]]
        settings = [(form.topology, {**other.knobs, **form.knobs}) for other in self.cases]
        if form.topology != self.name:
            settings = [(form.topology, form.knobs)]
        expected, _ = await self.calls(self.name, case.knobs, case.answer)
        for name, knobs in settings:
            made = (await self.calls(name, knobs, case.answer))[0]
            assert made == expected, (
                f"canonical says that {dict(case.knobs)} is the same team as {name}: {dict(knobs)}, "
                "but they do not make the same calls"
            )

    async def calls(
        self, name: str, knobs: Mapping[str, KnobValue], answer: Callable[[ChatCall], str]
    ) -> tuple[Counter[str], str]:
        """The calls of a team, without the names of the agents, and its answer."""
        models, calls = scripted_models(lambda call: answer(replace(call, agent="")))
        text = await Team(name, knobs).answer("?", models)
        return Counter(repr(replace(call, agent="")) for call in calls), text

    # -- what it does ---------------------------------------------------------------------------------------------

    async def test_it_works_alone_with_its_defaults(self) -> None:
        knobs = {knob.name: knob.default for knob in self.topology.knobs.values()}
        names = Team(self.name, knobs).models
        models, calls = scripted_models(same_answer, *names)
        context = self.topology.context(models=models)
        assert (await self.topology.graph.ainvoke({"question": "?"}, context=context))["answer"] == "Oslo"
        assert {call.model for call in calls} <= set(names)

    async def test_it_asks_the_models_of_its_knobs_as_often_as_they_say(self, case: Case) -> None:
        models, calls = scripted_models(case.answer, "small", "large", "another")
        await self.run(case, models)
        assert Counter(call.model for call in calls) == Counter(case.calls)
        assert set(case.calls) <= set(Team(self.name, case.knobs).models)

    async def test_no_two_calls_of_an_agent_are_the_same_draw(self, case: Case) -> None:
        models, calls = scripted_models(case.answer)
        await self.run(case, models)
        draws = Counter((call.agent, call.model, call.sample) for call in calls)
        assert set(draws.values()) == {1}

    async def test_agents_are_its_roles_and_nodes_of_the_graph(self) -> None:
        agents: set[str] = set()
        for case in self.cases:
            models, calls = scripted_models(case.answer)
            await self.run(case, models)
            agents |= {call.agent for call in calls}
        roles, nodes = set(self.topology.roles), set(self.topology.graph.nodes)
        assert agents == roles, f"the cases' calls have the roles {sorted(agents)}, the topology names {sorted(roles)}"
        assert agents <= nodes, f"a node has the name of its role: {sorted(agents)} are not all among {sorted(nodes)}"
        assert len(set(self.topology.roles)) == len(self.topology.roles)

    def test_its_roles_are_known_and_one_of_them_answers(self) -> None:
        assert any(role.answers for role in self.topology.default_roles.values())

    async def test_what_the_answer_must_look_like_reaches_whoever_answers(self, case: Case) -> None:
        models, calls = scripted_models(case.answer)
        await self.run(case, models, instruction="Be {brief}.", max_tokens=5)
        for call in calls:
            role = self.roles[call.agent]
            assert call.max_tokens == (role.max_tokens or 5)
            assert role.answers <= ("Be {brief}." in texts(call))
        assert any(self.roles[call.agent].answers for call in calls)

    async def test_an_agent_with_an_instruction_of_its_own_gets_it_beside_the_tasks(self, case: Case) -> None:
        roles = {name: replace(role, instruction=f"You are the {name}.") for name, role in self.roles.items()}
        models, calls = scripted_models(case.answer)
        await self.run(case, models, instruction="Be brief.", roles=roles)
        for call in calls:
            assert f"You are the {call.agent}." in texts(call)
            assert not any(f"You are the {name}." in texts(call) for name in roles if name != call.agent)
            assert roles[call.agent].answers <= ("Be brief." in texts(call))

    async def test_a_call_has_the_settings_of_its_role(self, case: Case) -> None:
        roles = {
            name: replace(role, temperature=0.01 * i, max_tokens=i, output={"title": name})
            for i, (name, role) in enumerate(self.roles.items(), 1)
        }
        models, calls = scripted_models(case.answer)
        await self.run(case, models, max_tokens=999, roles=roles)
        for call in calls:
            role = roles[call.agent]
            settings = call.temperature, call.max_tokens, call.response_format
            assert settings == (role.temperature, role.max_tokens, role.response_format)

    async def test_a_temperature_is_that_of_its_role_or_its_knob_or_greedy(self, case: Case) -> None:
        models, calls = scripted_models(case.answer)
        await self.run(case, models)
        for call in calls:
            own = self.roles[call.agent].temperature
            assert call.temperature in ({case.knobs.get("temperature", 0.0), 0.0} if own is None else {own})

    async def test_the_answer_is_read_out_of_what_models_say(self, case: Case) -> None:
        models, _ = scripted_models(lambda calls: f"Well: {case.answer(calls)}")
        answer = await self.run(case, models, read=lambda text: text.removeprefix("Well: "))
        assert answer
        assert not answer.startswith("Well")

    async def test_content_parts_reach_every_model_unchanged(self, case: Case) -> None:
        models, calls = scripted_models(case.answer)
        parts = [dict(part) for part in PARTS]
        await self.run(case, models, question=parts)
        assert parts == list(PARTS)
        for call in calls:
            sent = [part for message in call.messages for part in content_of(message)]
            (at,) = [i for i, part in enumerate(sent) if part["type"] != "text"]
            begin = at + 1 - len(PARTS)  # the image is the last of them
            assert sent[begin : begin + len(PARTS)] == parts

    async def test_any_call_that_fails_fails_the_team(self, case: Case) -> None:
        for failing in range(sum(case.calls.values())):
            calls: list[ChatCall] = []

            def answer(call: ChatCall, failing: int = failing, calls: list[ChatCall] = calls) -> str:
                if len(calls) == failing + 1:
                    raise CallFailed("http 500", f"call {failing}")
                return case.answer(call)

            models = {name: ScriptedModel(name, answer, calls) for name in ("small", "large")}
            with pytest.raises(CallFailed) as raised:
                await self.run(case, models)
            assert raised.value.detail == f"call {failing}"

    async def test_a_model_that_is_not_there_is_an_input_error(self, case: Case) -> None:
        with pytest.raises(InputError, match="the context has another"):
            await self.run(case, scripted_models(same_answer, "another")[0])

    async def test_the_answer_does_not_depend_on_who_is_quick(self, case: Case) -> None:
        answers, orders, most = [], [], sum(case.calls.values())
        together = False
        for slowest_first in (False, True):
            calls: list[ChatCall] = []
            answered: list[ChatCall] = []

            async def answer(
                call: ChatCall,
                slowest_first: bool = slowest_first,
                calls: list[ChatCall] = calls,
                answered: list[ChatCall] = answered,
            ) -> str:
                nonlocal together
                number = len(calls)
                together |= number > len(answered) + 1
                await turns(10 * (most - number if slowest_first else number))
                return case.answer(call)

            models = {name: ScriptedModel(name, answer, calls, answered) for name in ("small", "large")}
            answers.append(await self.run(case, models))
            orders.append([(call.agent, call.model, call.sample) for call in answered])
        assert answers[0] == answers[1]
        if together:
            assert orders[0] != orders[1], "the replies came in the same order both times: nothing was tested"

    async def test_concurrent_runs_share_no_state(self, case: Case) -> None:
        async def echo(call: ChatCall) -> str:
            await turns(3)
            (question,) = set(re.findall(r"question \d", texts(call)))
            return str(question)

        models, _ = scripted_models(echo)
        questions = [f"question {i}" for i in range(5)]
        assert await asyncio.gather(*(self.run(case, models, question=q) for q in questions)) == questions
