"""A run directory and what its records say: results, budget, engine log, events."""
