"""The file slo.yaml: what it says, the place of every mistake in it, and its schema."""
