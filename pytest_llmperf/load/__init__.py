"""Load profiles, and what runs a body under one of them, on threads or in an event loop."""
