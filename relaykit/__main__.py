"""`python -m relaykit`, for where the command is not on the path."""

from relaykit.cli import main

main()
