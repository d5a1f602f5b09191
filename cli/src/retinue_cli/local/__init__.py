"""Replace AWS and RDS on one machine, for ``retinue run``."""

from retinue_cli.local.emulator import Emulator
from retinue_cli.local.endpoint import AwsEndpoint, named_endpoint
from retinue_cli.local.errors import LaptopError
from retinue_cli.local.photographs import (
    FolderPhotographs,
    Photograph,
    SkippedFile,
    folder_photographs,
    package_photographs,
)
from retinue_cli.local.postgres import EmbeddedPostgres
from retinue_cli.local.processes import Processes
from retinue_cli.local.resources import Wiring, wire
from retinue_cli.local.state import State
from retinue_cli.local.upload import Upload, upload

__all__ = [
    "AwsEndpoint",
    "EmbeddedPostgres",
    "Emulator",
    "FolderPhotographs",
    "LaptopError",
    "Photograph",
    "Processes",
    "SkippedFile",
    "State",
    "Upload",
    "Wiring",
    "folder_photographs",
    "named_endpoint",
    "package_photographs",
    "upload",
    "wire",
]
