"""Where Hydra finds analyses: `analysis=<kind>` and `/schema/analysis: <kind>` for every kind there is.

The settings of an analysis are imported when it is chosen, not to list what could be. `analysis=<kind>`
needs no YAML file; where a folder of configs has one, it is taken instead.
"""

from collections.abc import Iterable
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from un_lightning.config import registry


_OPTIONS, _SCHEMAS = "analysis", "schema/analysis"
_folders: list[Path] = []


def register() -> None:
    """Tell Hydra where analyses are; more than once does no harm."""
    plugins = Plugins.instance()
    for plugin in (AnalysisSource, AnalysisPath):
        plugins.register(plugin)


def prefer(folders: Iterable[Path]) -> None:
    """Let YAML files of these folders, which Hydra gets to know later, go before what is made here."""
    _folders[:] = folders


class AnalysisPath(SearchPathPlugin):
    """Adds the analyses, and the YAML files of the packages that bring some, behind our own files."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add to what Hydra searches."""
        for folder in registry.config_folders():
            search_path.append("un-lightning", f"file://{folder}")
        search_path.append("un-lightning", f"{AnalysisSource.scheme()}://")


class AnalysisSource(ConfigSource):
    """The schema of every analysis, and an option that is nothing but the schema."""

    @staticmethod
    def scheme() -> str:
        """How the search path names it."""
        return "analyses"

    def available(self) -> bool:
        """Always: our own are there."""
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        """The defaults of an analysis' settings.

        Raises:
            UserError: Another package brings it, and it cannot be used.
        """
        group, _, kind = _split(config_path)
        if group == _SCHEMAS:
            config = OmegaConf.structured(registry.schema(kind))
        else:
            config = OmegaConf.create({"defaults": [{f"/{_SCHEMAS}": kind}, "_self_"]})
        return ConfigResult(self.provider, self.full_path(), config, {"package": _OPTIONS})

    def is_group(self, config_path: str) -> bool:
        """Whether there is a group of that name here."""
        return config_path.rstrip("/") in ("", "schema", _OPTIONS, _SCHEMAS)

    def is_config(self, config_path: str) -> bool:
        """Whether an analysis is found here, and not in a folder that goes first."""
        group, _, kind = _split(config_path)
        if group not in (_OPTIONS, _SCHEMAS) or kind not in registry.kinds():
            return False
        return group == _SCHEMAS or not any((path / group / f"{kind}.yaml").is_file() for path in _folders)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """What is in a group."""
        inside = {"": [_OPTIONS, "schema"], "schema": ["analysis"]}
        if config_path in inside:
            return [] if results_filter is ObjectType.CONFIG else inside[config_path]
        return [] if results_filter is ObjectType.GROUP else registry.kinds()


def _split(config_path: str) -> tuple[str, str, str]:
    return config_path.rstrip("/").removesuffix(".yaml").rpartition("/")
