"""`relaykit fuzz`: frames and sessions that nobody wrote, with a judge that knows what must come of them."""
