"""Where a model comes from and how it becomes something that can run.

Not the engine: nothing here schedules or generates. Modules that need torch, transformers or
huggingface_hub import them inside the functions that use them, so that importing this package
costs what the standard library costs.
"""
