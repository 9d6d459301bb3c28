import pytest

from orkester.agents.routing import RoutingRequest, routing_policy
from orkester.errors import InputError


@pytest.mark.parametrize(
    ("pattern", "question", "choice"),
    [
        (r"\d", "What is 2 + 3?", "sums"),
        (r"\d", "What is the capital of Norway?", "rest"),
        (r"\d", [{"type": "text", "text": "See"}, {"type": "text", "text": "number 4"}], "sums"),
        (r"\d", [{"type": "image_url", "image_url": {"url": "data:image/png;base64,1234"}}], "rest"),
        ("(?i)^sum", "Sum up.", "sums"),
        ("(?i)^sum", "A sum.", "rest"),
        ("år", "Vilket år?", "sums"),
    ],
)
def test_questions_with_the_pattern_go_to_the_first_choice(pattern: str, question: object, choice: str) -> None:
    policy = routing_policy("rule", {"pattern": pattern})
    assert policy.route(RoutingRequest(question=question, choices=["sums", "middle", "rest"])).choice == choice


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "("}, "the routing policy 'rule' does not take the options {'pattern': '('}: pattern '(' is not"),
        ({"pattern": ""}, "pattern must be a regular expression, but is ''"),
        ({"pattern": 5}, "takes text as pattern, but got 5"),
        ({"patern": "x"}, "the routing policy 'rule' has no option 'patern' (did you mean 'pattern'?)"),
    ],
)
def test_a_wrong_pattern_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as raised:
        routing_policy("rule", options)
    assert message in str(raised.value)
