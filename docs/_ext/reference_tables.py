"""The directive ``{reference-table} NAME``: a table of tables.py in a Markdown page."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective
from tables import TABLES

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class ReferenceTable(SphinxDirective):
    """``{reference-table} NAME``: the Markdown of ``TABLES[NAME]``, in a Markdown page."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """Parse the table as if it stood in the page."""
        text = TABLES[self.arguments[0]]()
        container = nodes.section() if "\n## " in f"\n{text}" else nodes.container()
        self.state.nested_parse(
            StringList(text.splitlines(), source=__file__), self.content_offset, container, match_titles=True
        )
        return list(container.children)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("reference-table", ReferenceTable)
    return {"parallel_read_safe": True}
