"""A routing policy: long questions go to the last, and largest, of the choices."""

from __future__ import annotations

from orkester.agents.routing import Route, RoutingRequest


class ByLength:
    """Long questions go to the last choice.

    Args:
        words: From how many words on a question is long.
    """

    def __init__(self, words: int = 5) -> None:
        self._words = words

    def route(self, request: RoutingRequest) -> Route:
        """Count the words."""
        count = len(str(request.question).split())
        if count >= self._words:
            return Route(choice=request.choices[-1], reason=f"{count} words are many")
        return Route(choice=request.choices[0], reason=f"{count} words are few")


by_length = ByLength()
