"""How requests come in and answers go out: HTTP, plain events, and who is asking."""
