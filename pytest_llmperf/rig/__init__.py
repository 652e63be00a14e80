"""What all scenarios of one process share, set up when the first of them needs it."""
