"""relaykit: protocol specification and conformance test kit for a JSON-over-WebSocket messaging API.

The packages below are the house: `relaykit.schemas` (the protocol as data), `relaykit.reference_server`,
`relaykit.conformance` and `relaykit.docs_gen`. What all of them share stands in this package. For use from
Python start at `relaykit.schemas`.
"""

from importlib.metadata import version

__version__ = version("relaykit")
"""The kit's own version (not the protocol's: that is `load_catalogue().protocol.version`)."""
