"""Space, search, confirmation, results and report of a study."""
