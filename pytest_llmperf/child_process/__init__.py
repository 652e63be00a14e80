"""A process of ours beside the session, which ends with the one that started it, whatever ended that."""
