"""Scenarios under a load profile: many iterations of their bodies at once, judged when the profile ends."""
