"""`/healthz` and `/metrics` over HTTP: whether the server is well, and its counters for Prometheus.

Neither needs a token, and neither names a user: labels are types, codes and statuses of the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from relaykit.reference_server.counters import BOUNDS_S, Counters, Durations
from relaykit.reference_server.http import listen
from relaykit.reference_server.store import StoreError
from relaykit.reference_server.totals import Totals

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from relaykit.reference_server.app import App

_HOST = "127.0.0.1"


class MetricsServer:
    """Serves `/healthz` and `/metrics` on a loopback port of their own."""

    def __init__(self, app: App, counters: Counters) -> None:
        self._app = app
        self._counters = counters
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen, and serve from now on.

        Raises:
            UsageError: the port cannot be listened on.
        """
        http = web.Application()
        http.add_routes(routes(self._app, self._counters))
        self._runner = await listen(http, _HOST, self._app.settings.metrics_port, "--metrics-port")

    @property
    def url(self) -> str:
        """Where the metrics are."""
        assert self._runner is not None
        return f"http://{_HOST}:{self._runner.addresses[0][1]}/metrics"

    async def stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


def routes(app: App, counters: Counters) -> list[web.RouteDef]:
    """What an HTTP server of this process may serve besides its own."""
    registry = CollectorRegistry()
    registry.register(_Collector(app, counters))
    ProcessCollector(registry=registry)

    async def healthz(_request: web.Request) -> web.Response:
        state = health(app)
        return web.Response(
            status=200 if state == "ok" else 503,
            body=orjson.dumps({"status": state}),
            content_type="application/json",
        )

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [web.get("/healthz", healthz), web.get("/metrics", metrics)]


def health(app: App) -> str:
    """`ok`; `draining` from the signal to stop on; `store failing` while nothing can be stored."""
    if app.stopping:
        return "draining"
    return "store failing" if app.store.failing else "ok"


class _Collector(Collector):
    """Reads the counters when they are asked for."""

    def __init__(self, app: App, counters: Counters) -> None:
        self._app = app
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        app, counters = self._app, self._counters
        yield _gauge("connections", "Open TCP connections.", len(app.connections))
        yield _gauge("sessions", "Connections that are authenticated.", len(app.hub) + len(app.pending))
        yield _gauge("unread_bytes", "What waits for clients that read slowly.", app.unread)
        yield _gauge("partial_bytes", "What has come of messages that are not whole.", app.partial)
        totals = self._totals()
        if totals is not None:
            waiting, size = totals.waiting, totals.bytes
            yield _gauge("waiting_messages", "Messages that wait for a device, once for each.", waiting)
            yield _gauge("waiting_bytes", "Size of all messages that wait.", size)
        yield _counter("frames_received", "Valid frames of clients.", "type", counters.received)
        yield _counter("frames_sent", "Frames to clients.", "type", counters.sent)
        yield _counter("errors_sent", "Error frames to clients.", "code", counters.errors)
        yield _counter("handshakes_refused", "Handshakes refused.", "status", counters.refused)
        yield CounterMetricFamily(
            "relaykit_slow_readers_dropped",
            "Connections closed since they read too slowly.",
            value=counters.slow_readers,
        )
        yield _histogram("commit_seconds", "Commits to the store.", app.store.commits)
        yield CounterMetricFamily(
            "relaykit_commits_failed", "Commits that failed.", value=app.store.failed_commits
        )

    def _totals(self) -> Totals | None:
        if self._app.store.failing or self._app.stopping:
            return None
        try:
            return self._app.durably(self._app.mailboxes.totals)
        except StoreError:
            return None


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"relaykit_{name}", text, value=value)


def _counter(name: str, text: str, label: str, counts: dict[str, int] | dict[int, int]) -> Metric:
    family = CounterMetricFamily(f"relaykit_{name}", text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([str(value)], count)
    return family


def _histogram(name: str, text: str, durations: Durations) -> Metric:
    total, buckets = 0, []
    for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), durations.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    family = HistogramMetricFamily(f"relaykit_{name}", text)
    family.add_metric([], buckets=buckets, sum_value=durations.total_s)
    return family
