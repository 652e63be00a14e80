"""Two arms of one run, ``--llm-ab``: what they are, and the process of another revision of the project."""
