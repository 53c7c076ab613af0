"""The engine: scheduling, running and sampling steps; knows no HTTP, metrics or environment."""
