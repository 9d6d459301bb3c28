"""Measurement: tasks, the block runner, what blocks of a team add up to, and records on disk."""
