"""The process: AWS clients, the event loop, model providers, what a cold start imports."""
