"""The public API as type checkers see it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def complaints(tmp_path_factory):
    """What mypy says of the files here: (file, line, code)."""
    api = pytest.importorskip("mypy.api")
    cache = tmp_path_factory.mktemp("mypy")
    files = [str(path) for path in sorted(HERE.glob("slo_*.py"))]
    said, crashed, _ = api.run(
        ["--strict", "--config-file=", f"--cache-dir={cache}", "--follow-imports=silent", *files]
    )
    assert not crashed
    return [
        (Path(name).name, int(line), code)
        for name, line, code in re.findall(r"^(.+?):(\d+): error: .*\[(.+)\]$", said, re.MULTILINE)
    ]


def test_right_arguments_are_accepted(complaints):
    assert [complaint for complaint in complaints if complaint[0] == "slo_right.py"] == []


def test_every_wrong_argument_is_an_error_on_its_line(complaints):
    lines = (HERE / "slo_wrong.py").read_text("utf-8").splitlines()
    marked = [
        ("slo_wrong.py", number, line.partition("# wrong: ")[2])
        for number, line in enumerate(lines, 1)
        if "# wrong: " in line
    ]
    assert [complaint for complaint in complaints if complaint[0] == "slo_wrong.py"] == marked
