"""Sphinx configuration: `sphinx-build -W -n docs docs/_build/html`."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "pytest-llmperf"
author = "The pytest-llmperf contributors"
copyright = author  # noqa: A001 - Sphinx wants this name
release = version_of("pytest-llmperf")

extensions = ["myst_parser", "reference_tables"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

nitpicky = True
html_theme = "furo"
html_title = "pytest-llmperf"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_theme_options = {"navigation_with_keys": True}
