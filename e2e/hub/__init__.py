"""A small Hub for tests: the HTTP API that ``huggingface_hub`` uses, over directories."""
