"""Taking a turn: the lease, the restored agent, its events, and requests that are sent again."""
