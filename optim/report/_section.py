"""The interface of a section of the report: a key, a function and a template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ._material import Material


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section. Its template is ``sections/KEY.html.j2``, an HTML ``<section>`` whose id is the key.

    The template gets the content as ``section``, and the values of ``Material.page``.

    Attributes:
        key: The anchor of the section, and the name of its template.
        label: The text in the navigation.
        content: A function that makes plain values for the template; None if the section has no content and is left
            out. Charts under the key ``charts`` are drawn.
    """

    key: str
    label: str
    content: Callable[[Material], Mapping[str, Any] | None]

    @property
    def template(self) -> str:
        """The file of the template, relative to the folder of the report."""
        return f"sections/{self.key}.html.j2"
