"""What a session costs: time, requests, bytes, CPU and memory, the kit beside Strands' own managers.

``make bench`` runs ``python -m bench``; ``docs/BENCHMARKS.md`` says what is measured and how.
"""
