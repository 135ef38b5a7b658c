"""Set-up of a fresh machine, standard library only: environment, Prism and segmentation weights.

Run as ``python3.11 -m backdrop.bootstrap demo|test|diffusers`` (make does). Every step is idempotent and
writes beside its target, then renames, so that an interrupted run leaves nothing that looks finished.
"""

from backdrop.setup.command import main
from backdrop.setup.errors import Interrupted, SetupError
from backdrop.setup.flink import is_flink_current
from backdrop.setup.layout import Layout
from backdrop.setup.pins import BEAM_VERSION, PROFILES, UV_VERSION, WEIGHTS_SHA256, Profile
from backdrop.setup.prism import is_prism_current
from backdrop.setup.stamps import is_profile_current
from backdrop.setup.weights import are_weights_current

__all__ = [
    "BEAM_VERSION",
    "PROFILES",
    "UV_VERSION",
    "WEIGHTS_SHA256",
    "Interrupted",
    "Layout",
    "Profile",
    "SetupError",
    "are_weights_current",
    "is_flink_current",
    "is_prism_current",
    "is_profile_current",
    "main",
]
