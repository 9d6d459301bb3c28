"""A plug-in of each kind, as another package brings them."""
