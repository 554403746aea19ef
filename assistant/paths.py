"""Where things live on this machine."""

import os
from pathlib import Path

import platformdirs

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "weights"
RUNS = ROOT / "runs"


def cache_dir() -> Path:
    """Give the folder for downloads and caches; ``VIVAVOCE_CACHE`` overrides the platform's own."""
    override = os.environ.get("VIVAVOCE_CACHE")
    return Path(override) if override else Path(platformdirs.user_cache_dir("vivavoce"))


def config_file() -> Path:
    """Give the settings file; ``VIVAVOCE_CONFIG`` overrides the platform's own place."""
    override = os.environ.get("VIVAVOCE_CONFIG")
    return Path(override) if override else Path(platformdirs.user_config_dir("vivavoce")) / "config.toml"
