"""Beam's job server for Flink, put together by Maven from deploy/flink/pom.xml."""

import os
import shutil
from dataclasses import dataclass

from backdrop.setup.errors import SetupError
from backdrop.setup.layout import Layout
from backdrop.setup.process import Runner

_JOB_SERVER = "beam-runners-flink-*.jar"
_FIX = "let Maven reach a repository (its settings.xml names mirror and proxy), then run the same command again"


def is_flink_current(layout: Layout) -> bool:
    """Return whether the tools folder holds the jars of the very pom.xml that the checkout holds now."""
    try:
        return (layout.flink / "pom.xml").read_bytes() == layout.flink_pom.read_bytes()
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class FlinkSetup:
    """Puts the job server's jars into the tools folder; from then on nothing is fetched.

    Attributes:
        layout: paths of the checkout.
        runner: runs Maven; its environment decides PATH.
    """

    layout: Layout
    runner: Runner

    def ensure(self) -> None:
        """Do nothing where the jars are there, else get them.

        Raises:
            SetupError: Java or Maven is missing, or Maven could not get what the pom.xml names.
        """
        if is_flink_current(self.layout):
            return
        self._require("mvn", "Maven", "maven")
        if "JAVA_HOME" not in self.runner.env:
            self._require("java", "Java", "default-jre-headless")
        beside = self.layout.scratch / "flink"
        beside.mkdir(parents=True)
        shutil.copy(self.layout.flink_pom, beside / "pom.xml")
        self.runner.run(
            [
                "mvn",
                *("--batch-mode", "--quiet", "--strict-checksums", "-Dstyle.color=never"),
                *("--file", str(beside)),
                "dependency:copy-dependencies",
                f"-DoutputDirectory={beside}",
            ],
            label="Flink job server (Maven, about 150 MB, once)",
            fix=_FIX,
            first_error=True,
        )
        if not any(beside.glob(_JOB_SERVER)):
            message = f"Maven ended well but copied no {_JOB_SERVER} into {beside}: see {self.runner.log}"
            raise SetupError(message)
        self.layout.tools.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.layout.flink, ignore_errors=True)
        os.replace(beside, self.layout.flink)

    def _require(self, program: str, name: str, package: str) -> None:
        if shutil.which(program, path=self.runner.env.get("PATH", "")) is None:
            message = f"Flink needs {name}, and there is no {program} on PATH: install it (Debian: {package})"
            raise SetupError(message)
