"""What the engine alone may do with an instance: lease, frontier, step results, park.

Not use-cases of people: the actor is the holder of an instance's lease, and every commit
checks its epoch. Nothing here decides; routing and outcomes come from `definitions`.
"""
