"""What a step does in the world: one module per step kind that the engine runs.

Each has `begin` (start it: settled at once, or waiting for something) and `settle` (read from the
store how what it waits for has ended, or None). Imports store and definitions.
"""
