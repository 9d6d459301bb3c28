"""``nat optimize`` (NVIDIA NeMo Agent Toolkit) itself, live, against a table that a loopback server serves."""
