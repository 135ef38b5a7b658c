"""``backdrop demo``: the whole system, started, fed with traffic, judged, and stopped."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from contracts import SetupError
from demo.config import DECISIONS, LINEAGE, DemoConfig, DemoResult, TrafficFigures
from demo.identity import check_identity, wait_drained
from demo.measure import PhaseMeter
from demo.monitor import FoldedReader, LagProbe, Monitor
from demo.outcomes import Outcomes, tally
from demo.paper import DECISIONS as PAPER_DECISIONS
from demo.paper import PaperConfig, run_paper
from demo.processes import Child, Supervisor, interruptible, run_loop
from demo.report import IdentityCheck, make_report
from demo.shop import Shop, open_shop
from demo.shoppers import Ledger, Shoppers
from demo.stages import (
    FEATURES_S,
    PARTITIONS,
    READY_S,
    Site,
    creatives_published,
    creatives_wanted,
    generate,
    learner_ready,
    own_home,
    put_policy,
    server_port,
    server_ready,
    start,
    wait_flushed,
)
from demo.tables import print_closing
from demo.view import LiveView, told_pictures
from demo.visits import draw_visits
from stores import EmbeddedRedis, StatisticsStore, connect

if TYPE_CHECKING:
    from beam_pipelines.generate import GenerateReport
    from beam_pipelines.generate import Progress as Progressed

_REDRAW_S = 0.25


def run_demo(config: DemoConfig, console: Console) -> DemoResult:
    """Run the demo and print its closing table; with ``keep``, go on serving until Ctrl-C.

    Raises:
        SetupError: if the machine lacks something, or a port or the state folder is taken.
        ChildDiedError: if a part of the system ends before its time.
        KeyboardInterrupt: on SIGINT or SIGTERM, after everything was stopped.
    """
    if config.world == "paper":
        return _in_process(config, console)
    meter = PhaseMeter()
    with interruptible(), own_home(config.home) as home, meter.sampling():
        return _Run(config, console, meter, home).run()


def _in_process(config: DemoConfig, console: Console) -> DemoResult:
    paper = PaperConfig(
        seed=config.seed,
        decisions=config.decisions or PAPER_DECISIONS,
        # The demo's unequal shares are for little traffic; here there is plenty.
        split=tuple((name, 1 / len(config.policies)) for name in config.policies),
        catalogue=config.catalogue,
    )
    with interruptible():
        return DemoResult(config.seed, config.world, run_paper(paper, console))


class _Run:
    """One run: phases in order, each visible, timed, and undone when it is left."""

    def __init__(self, config: DemoConfig, console: Console, meter: PhaseMeter, home: Path) -> None:
        self._config = config
        self._console = console
        self._meter = meter
        self._home = home

    def run(self) -> DemoResult:
        """Everything between an empty folder and the closing table."""
        config = self._config
        with self._phase("shop"):
            shop = open_shop(config.catalogue, world=config.world, shoppers=config.shoppers, seed=config.seed)
            self._say(
                f"{len(shop.products)} products in {len(shop.categories)} categories, {len(shop.prompts)} prompts, "
                f"{len(shop.placements)} placements, {len(shop.population):,} shoppers (seed {config.seed})"
            )
        with contextlib.ExitStack() as stack:
            port = stack.enter_context(server_port(config))
            with self._phase("redis"):
                server = stack.enter_context(EmbeddedRedis(self._home / "redis"))
                self._say(f"Redis answers at {server.url}")
            client = stack.enter_context(contextlib.closing(connect(server.url)))
            children = stack.enter_context(Supervisor(self._home / "logs"))
            site = Site(self._home, port, server.url, config.catalogue.resolve(), config.workers)
            put_policy(client, config)
            generated = self._prepare(shop, site, client, children)
            store = self._start_services(site, client, children)
            outcomes, figures = self._traffic(shop, site, client, children)
            identity = self._judge(shop, site, client, store, children)
            result = self._close(shop, outcomes, figures, identity, generated)
            self._urls(site)
            if config.keep:
                self._keep(site, children)
        return result

    def _prepare(self, shop: Shop, site: Site, client: redis.Redis, children: Supervisor) -> "GenerateReport":
        """Features and pictures, side by side: Feast mostly imports, generate mostly computes."""
        shop.write_profiles(site.profiles, time.time_ns() // 1_000)
        wanted = creatives_wanted(shop)
        with self._phase("features and pictures"), self._progress() as progress:
            features = start(children, site, "features")
            loading = progress.add_task("features: feast apply, materialize, compile", total=1)
            making = progress.add_task("pictures", total=None)
            told = told_pictures(self._console)

            def watch(now: "Progressed") -> None:
                told(now)
                progress.update(making, description=f"pictures: {now.phase}", completed=now.done, total=now.planned)
                progress.update(loading, completed=int(features.code == 0))

            report = generate(site, watch)
            features.wait(FEATURES_S)
        self._say(
            f"pictures: {report.made:,} made, {report.skipped:,} there before, {report.rejected:,} rejected, "
            f"{sum(report.dead_letters.values()):,} dead letters"
        )
        published, lacking = creatives_published(client, shop)
        if lacking:
            message = (
                f"{len(lacking)} slots lack pictures ({lacking[0]}, …): see the dead letters of `backdrop generate`"
            )
            raise SetupError(message)
        self._say(f"{published:,} of {wanted:,} pictures are in the creative index; features are in Redis")
        return report

    def _start_services(self, site: Site, client: redis.Redis, children: Supervisor) -> StatisticsStore:
        store = StatisticsStore(client, LINEAGE)
        with self._phase("serve and learn"), self._progress() as progress:
            serve, learn = start(children, site, "serve"), start(children, site, "learn")
            waits: list[tuple[str, Child, Callable[[], bool]]] = [
                ("the HTTP server", serve, lambda: server_ready(site)),
                ("the streaming learner (Beam on Prism)", learn, lambda: learner_ready(store)),
            ]
            for name, child, ready in waits:
                task = progress.add_task(name, total=1)
                children.wait_ready(child, ready, READY_S)
                progress.update(task, completed=1)
        self._say(f"server at {site.url} (studio: {site.url}/studio), learner folds the event log")
        return store

    def _traffic(
        self, shop: Shop, site: Site, client: redis.Redis, children: Supervisor
    ) -> tuple[Outcomes, TrafficFigures]:
        config = self._config
        decisions = config.decisions or DECISIONS
        visits = draw_visits(
            shop.world, shop.population.activity, decisions, config.ads_on_a_page, config.habits, shop.traffic_rng()
        )
        ledger = Ledger(visits, shop.item_category)
        shoppers = Shoppers(site.url, shop.population.users, shop.world, visits, ledger)
        view = LiveView(self._console, config.policies)
        monitor = Monitor(ledger, FoldedReader(client, LINEAGE, shop.categories), view.show)
        started = time.monotonic()
        with self._phase("traffic"), view.running():
            run_loop(self._live(shoppers, monitor, children))
        wall_s = time.monotonic() - started
        figures = _figures(ledger, monitor.probe, monitor.peak_folded_per_s, wall_s)
        self._say(
            f"{figures.decisions:,} decisions in {wall_s:.0f} s ({figures.decisions_per_s:,.0f}/s), "
            f"{figures.facts:,} facts, event to served model {figures.lag_mean_s or 0:.1f} s in the mean"
        )
        if figures.problems:
            self._say(f"requests that failed: {dict(figures.problems)}")
        if figures.flags:
            self._say(f"decisions flagged by the server: {dict(figures.flags)}")
        return ledger.outcomes(), figures

    async def _live(self, shoppers: Shoppers, monitor: Monitor, children: Supervisor) -> None:
        """Shop until done, watched; the first of them that fails ends it."""

        async def guard() -> None:
            while True:
                children.check()
                await asyncio.sleep(_REDRAW_S)

        shopping = asyncio.create_task(shoppers.run(self._config.traffic_pace))
        watchers = [asyncio.create_task(monitor.run()), asyncio.create_task(guard())]
        try:
            await asyncio.wait([shopping, *watchers], return_when=asyncio.FIRST_COMPLETED)
            for task in (*watchers, shopping):
                if task.done():
                    task.result()
        finally:
            for task in (shopping, *watchers):
                task.cancel()
            await asyncio.gather(shopping, *watchers, return_exceptions=True)

    def _judge(
        self, shop: Shop, site: Site, client: redis.Redis, store: StatisticsStore, children: Supervisor
    ) -> IdentityCheck:
        with self._phase("drain"), self._progress() as progress:
            task = progress.add_task("the learner reads to the log's end", total=None)

            def watch(behind_ms: int) -> None:
                children.check()
                progress.update(
                    task, description=f"the learner reads to the log's end, {behind_ms / 1000:.0f} s behind"
                )

            wait_flushed(site, children.check)
            wait_drained(client, store, PARTITIONS, watch)
        with self._phase("replay"), self._progress() as progress:
            progress.add_task("batch replay of the event log", total=None)
            return check_identity(client, store, PARTITIONS, site.objects)

    def _close(
        self,
        shop: Shop,
        outcomes: Outcomes,
        figures: TrafficFigures,
        identity: IdentityCheck,
        generated: "GenerateReport",
    ) -> DemoResult:
        config = self._config
        with self._phase("report"):
            report = make_report(tally(outcomes, shop.world, config.policies), shop.report_rng(), identity)
        print_closing(self._console, report, config.world, shop.world.calibration)
        result = DemoResult(config.seed, config.world, report, figures, tuple(self._meter.phases), asdict(generated))
        path = self._home / "result.json"
        whole = path.with_suffix(".part")
        whole.write_text(json.dumps(result.to_plain(), indent=2) + "\n", encoding="utf-8")
        whole.replace(path)
        return result

    def _urls(self, site: Site) -> None:
        self._say(f"result: {self._home / 'result.json'}; logs: {self._home / 'logs'}; pictures: {site.objects}")

    def _keep(self, site: Site, children: Supervisor) -> None:
        self._say("Everything goes on running; Ctrl-C ends it.")
        for name, url in (
            ("studio", f"{site.url}/studio"),
            ("decisions", f"{site.url}/v1/decide"),
            ("metrics", f"{site.url}/metrics"),
            ("Redis", site.redis_url),
        ):
            self._say(f"  {name:<10} {url}")
        while True:
            children.check()
            time.sleep(_REDRAW_S)

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        if not self._console.is_terminal:
            self._say(f"… {name}")
        with self._meter.phase(name):
            yield

    def _progress(self) -> Progress:
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def _figures(ledger: Ledger, probe: LagProbe, peak_folded_per_s: float, wall_s: float) -> TrafficFigures:
    lags = np.array(probe.lags_s)
    return TrafficFigures(
        decisions=ledger.decided,
        wall_s=wall_s,
        decisions_per_s=ledger.decided / wall_s,
        facts=int(ledger.facts.sum()),
        peak_folded_per_s=peak_folded_per_s,
        lag_mean_s=float(lags.mean()) if len(lags) else None,
        lag_p95_s=float(np.percentile(lags, 95)) if len(lags) else None,
        problems=dict(ledger.problems),
        flags=dict(ledger.flags),
    )
