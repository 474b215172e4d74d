"""The reference server with caches of next to nothing: what still grows is kept by nobody on purpose.

python server_small.py serve --port …
"""

from __future__ import annotations

from relaykit.cli import main
from relaykit.reference_server import cache, ledger, store_opening

cache.Cache.__init__.__defaults__ = (64,)  # type: ignore[misc]
for module, name, small in ((ledger, "_RECENT", 256), (store_opening, "_CACHE_KIB", 256)):
    if not hasattr(module, name):
        raise AttributeError(f"{module.__name__} has no {name} any more: it would keep what it likes")
    setattr(module, name, small)

if __name__ == "__main__":
    main()
