"""Flink: Beam's job server with an embedded Flink master, all in one Java process."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from contracts import SetupError

_MAIN = "org.apache.beam.runners.flink.FlinkJobServerDriver"
# Flink's warnings are of what an embedded one does not have, a web page and Hadoop, and one for every few bundles.
_LEVELS = {"WARNING": "error", "CRITICAL": "error"}
_HEAP_MB = 1024
_CHECKPOINT_MS = 2_000
_BUNDLE_MS = 100


@dataclass(frozen=True, slots=True)
class Flink:
    """The job server whose jars are in the folder ``path``, and the Java of JAVA_HOME or PATH."""

    path: str

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"the Flink job server ({self.path})"

    def check(self) -> None:
        """Look whether jars and Java are there.

        Raises:
            SetupError: if they are not.
        """
        if not any(Path(self.path).glob("beam-runners-flink-*.jar")):
            message = f"no Flink job server in {self.path!r}: run make setup-flink"
            raise SetupError(message)
        _java()

    def command(self, port: int, scratch: Path, log_level: str) -> list[str]:
        """A Java with a bounded heap that ends when it is full, as crash-only programs do."""
        level = _LEVELS.get(log_level.upper(), log_level.lower())
        return [
            _java(),
            f"-Xmx{_HEAP_MB}m",
            "-XX:+ExitOnOutOfMemoryError",
            # Its counters would be a file outside the scratch folder.
            "-XX:-UsePerfData",
            f"-Djava.io.tmpdir={scratch}",
            f"-Dorg.slf4j.simpleLogger.defaultLogLevel={level}",
            "-cp",
            f"{self.path}/*",
            _MAIN,
            "--job-host=localhost",
            f"--job-port={port}",
            "--artifact-port=0",
            "--expansion-port=-1",
            f"--artifacts-dir={scratch}/artifacts",
            "--flink-master=[local]",
        ]

    def options(self, scratch: Path) -> list[str]:
        """Checkpoints, without which each bundle leaks, short bundles, and no restarts inside Flink.

        A failed job ends, and the next one begins at the stored low watermark, as on every runner. Checkpoints kept in
        memory end at 5 MiB, so they go to files. Bundles are finished before a checkpoint: jobs without it never read.
        A stage's watermark and its timers move between bundles only, so that Flink's second a bundle would be the
        time to close one window of a category.
        """
        return [
            "--runner=FlinkRunner",
            "--flink_master=[local]",
            f"--checkpointing_interval={_CHECKPOINT_MS}",
            "--finish_bundle_before_checkpointing",
            "--state_backend=filesystem",
            f"--state_backend_storage_path={(scratch / 'checkpoints').as_uri()}",
            "--number_of_execution_retries=0",
            f"--max_bundle_time_mills={_BUNDLE_MS}",
        ]


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if found is None:
        where = f"JAVA_HOME ({home})" if home else "PATH"
        message = f"Flink needs Java, and there is none on {where}: install a Java 17, or use the runner prism"
        raise SetupError(message)
    return found
