"""/healthz, /readyz and /metrics."""

from dataclasses import dataclass

from serving.buffer import EventBuffer
from serving.http import NO_STORE, Request, Response, json_response
from serving.metrics import METRICS_TYPE, Metrics
from serving.refresh import ClockCheck, PackTable, PolicyTable, Refresher


@dataclass(slots=True)
class Life:
    """Whether the server has been told to end."""

    draining: bool = False


@dataclass(frozen=True, slots=True)
class HealthRoutes:
    """Answers what is well and what is not.

    Not ready: what a load balancer should steer away from. Degraded: requests are answered all the same, less
    well; every server would say so at once (Redis away), so taking this one out would help nobody.
    """

    policies: PolicyTable
    packs: PackTable
    clock_check: ClockCheck
    refreshers: tuple[Refresher, ...]
    buffer: EventBuffer
    metrics: Metrics
    life: Life

    async def alive(self, request: Request) -> Response:
        """GET /healthz: the process answers."""
        return json_response(200, {"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """GET /readyz: 200, or 503 with the reasons."""
        packs = {category: pack.model.generation for category, pack in sorted(self.packs.packs.items())}
        state = self.state()
        return json_response(200 if state["ready"] else 503, state | {"packs": packs})

    def state(self) -> dict[str, object]:
        """What /readyz says, but for the packs."""
        reasons, degraded = [], []
        if self.life.draining:
            reasons.append("draining")
        if not self.policies.loaded:
            reasons.append("policy_never_loaded")
        if not self.packs.loaded:
            reasons.append("packs_never_loaded")
        if self.clock_check.skew_ms is None:
            reasons.append("clock_never_compared")
        if not self.clock_check.good:
            reasons.append("clock_skewed")
        if self.buffer.full:
            reasons.append("event_buffer_full")
        degraded += [f"{refresher.name}_refresh_failing" for refresher in self.refreshers if refresher.failing]
        if not self.packs.packs:
            degraded.append("no_packs")
        return {
            "ready": not reasons,
            "reasons": reasons,
            "degraded": degraded,
            "clock_skew_ms": self.clock_check.skew_ms,
            "buffered_facts": len(self.buffer),
            "lineage": self.packs.lineage,
        }

    async def measure(self, request: Request) -> Response:
        """GET /metrics: Prometheus text."""
        return Response(200, self.metrics.render(), METRICS_TYPE, (NO_STORE,))
