"""Building what Lambda runs: packages, layers, byte code."""
