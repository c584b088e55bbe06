"""``make smoke URL=...``: a real deployment, asked for what it promises and for what emulators get wrong."""
