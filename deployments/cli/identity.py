"""`opsgate identity`: privileged accounts, without their credentials; saving one is `opsgate apply`."""

from cyclopts import App

from deployments.cli.versioned import add_verbs

app = App(name="identity", help_format="plaintext")

add_verbs(app, "/identities")
