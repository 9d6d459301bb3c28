"""Models on this host: the catalogue, engines, the pool that starts them, the chat client, and energy.

Nothing here uses teams, tasks or studies.
"""
