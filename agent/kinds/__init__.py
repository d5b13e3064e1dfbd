"""One module per job type that is neither script nor command: what this host starts for a payload.

Each has `program(payload, folder)`; it decides by what the host has, and raises CannotRun with a
sentence. Names come from validated payloads and stand in lists of arguments, never in a shell.
The command lines for Windows (`windows`) are a preview: no agent runs there yet.
"""
