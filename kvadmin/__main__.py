"""`python -m kvadmin` is the `kvadmin` command."""

from kvadmin.cli import main

main()
