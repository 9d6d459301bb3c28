"""Models, engines, the pool, the chat client, and energy meters."""
