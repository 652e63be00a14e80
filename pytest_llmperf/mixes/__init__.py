"""Weighted mixes: tests that share one load profile."""
