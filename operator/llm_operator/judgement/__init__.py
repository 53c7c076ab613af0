"""Whether a new revision is as good as the one it replaces; pure decisions over counters.

``evidence`` is what was read of the pods, ``window`` what a restart must not lose, ``difference``
what happened in between, and ``verdict.judge`` decides. Nothing here reads a pod, a clock or a
status: ``scrape`` reads pods as ``order`` says, ``reconcile`` calls ``judge`` once per pass and
persists the window with the state of the machine, and the machine decides what a verdict leads to.
"""
