"""What a study wants: objectives and constraints, the front, and which of its members can be told apart."""
