"""The reference server with caches of next to nothing: what still grows is kept by nobody on purpose.

python server_small.py serve --port …
"""

from __future__ import annotations

from relaykit.cli import main
from relaykit.reference_server import cache, ledger, store

cache.Cache.__init__.__defaults__ = (64,)  # type: ignore[misc]
ledger._RECENT = 256
store._CACHE_KIB = 256

if __name__ == "__main__":
    main()
