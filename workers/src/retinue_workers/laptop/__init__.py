"""AWS and RDS on a laptop: what ``retinue run`` needs in place of a cloud account."""

from retinue_workers.laptop.emulator import Emulator
from retinue_workers.laptop.endpoint import Endpoint, named_endpoint
from retinue_workers.laptop.errors import LaptopError
from retinue_workers.laptop.photographs import (
    FolderPhotographs,
    Photograph,
    SkippedFile,
    folder_photographs,
    package_photographs,
)
from retinue_workers.laptop.postgres import EmbeddedPostgres
from retinue_workers.laptop.processes import Processes
from retinue_workers.laptop.state import State
from retinue_workers.laptop.upload import Upload, upload
from retinue_workers.laptop.wiring import Wiring, wire
from retinue_workers.pictures import LabelledBox, draw

__all__ = [
    "EmbeddedPostgres",
    "Emulator",
    "Endpoint",
    "FolderPhotographs",
    "LabelledBox",
    "LaptopError",
    "Photograph",
    "Processes",
    "SkippedFile",
    "State",
    "Upload",
    "Wiring",
    "draw",
    "folder_photographs",
    "named_endpoint",
    "package_photographs",
    "upload",
    "wire",
]
