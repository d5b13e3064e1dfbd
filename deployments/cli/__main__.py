"""`python -m deployments.cli`: how the stack starts its own parts."""

from deployments.cli.app import main

main()
