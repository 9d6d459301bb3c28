"""Which team gets the next block of examples, and which teams are stopped early."""
