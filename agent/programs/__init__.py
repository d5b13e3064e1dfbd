"""The agent's own programs, each run as a file by itself: standard library only."""
