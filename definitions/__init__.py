"""What workflows, jobs, approvals and permissions *are*, and every decision about them.

Pure: standard library, pydantic, croniter, cel-python and the agent's contract. No I/O, no
YAML, no Prefect, no web framework, no SQL; `now` is always an argument.
"""
