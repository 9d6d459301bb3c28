"""Tasks, scorers, the block runner, measurements and records."""
