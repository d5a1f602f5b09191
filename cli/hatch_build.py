"""Include the plugin template, which lies outside this project, in what is built."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TEMPLATE = "retinue_cli/plugin_dev/template"


class TemplateHook(BuildHookInterface):
    """Includes ``plugins/_template``, except in editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name what to include."""
        folder = Path(self.root).parent / "plugins" / "_template"
        if folder.is_dir() and version != "editable":
            place = TEMPLATE if self.target_name == "wheel" else f"src/{TEMPLATE}"
            build_data["force_include"][str(folder)] = place
