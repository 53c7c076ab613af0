"""A small world in which every rollout can be walked through, and the rules that must hold in it.

::

    cluster    pods, Deployments and routes, and what moves them without us
    situation  one point of a run: what is persisted, the cluster, the spec, what is broken
    operator   one pass: observe, decide, persist, move traffic, resize; it may be cut anywhere
    events     what people and accidents do
    invariants I1 to I14, one function each, asked of every single action
    explorer   walks all of it and tells what it saw
    mutants    wrong machines that a named rule must catch

``make states`` walks everything; ``tests/states`` holds a sample of it and the named rules.
"""
