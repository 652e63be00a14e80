"""Plain data and pure functions: no pytest, network, disk, clock or environment in here."""
