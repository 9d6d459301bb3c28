"""Studies: the space of teams, the search, confirmation, what a run teaches, and the report."""
