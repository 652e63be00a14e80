"""One load profile on several processes, here or on a cluster: who runs which part, and how they meet."""
