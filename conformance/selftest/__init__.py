"""`relaykit selftest`: proof that the suite bites.

A program starts a server with one known defect at a time (`seeded`); the cases that claim the broken
requirement run against it, and a smoke test besides (`running`); a defect is killed if a step that names the
requirement has failed (`judging`). All of it together is the matrix of requirements and defects (`matrix`).
"""
