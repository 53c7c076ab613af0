"""A rollout over real HTTP with a fault at every write, in virtual time.

Worker, client, transport, informer and cache are the product's; the API server, the controllers,
the load and the watching part (kopf needs a thread and a clock of its own) are models.
"""
