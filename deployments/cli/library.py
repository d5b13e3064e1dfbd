"""`opsgate library`: the functions that scripts link; saving one is `opsgate apply`."""

from cyclopts import App

from deployments.cli.versioned import add_verbs

app = App(name="library", help_format="plaintext")

add_verbs(app, "/libraries")
