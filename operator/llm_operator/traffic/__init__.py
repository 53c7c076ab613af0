"""How requests are split between two revisions: what is rendered for it, and what is so; pure.

Called by the reconcile pass: ``observe`` before the rollout machine decides, ``render`` with what
it decided. Two providers do it behind one interface (``provider.TrafficProvider``).
"""
