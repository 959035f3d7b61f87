"""`python -m mixdesk.cli` is `mixdesk`."""

from mixdesk.cli.main import run

run()
