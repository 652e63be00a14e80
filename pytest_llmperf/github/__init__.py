"""The gate on GitHub: what the workflows of ``llmperf init --github`` call."""
