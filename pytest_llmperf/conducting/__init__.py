"""A load run from pytest's side: the tests that take part, the processes that share it, and the verdicts."""
