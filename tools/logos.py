"""Make composites of logos and photographs: ``python -m tools.logos FOLDER``.

The logos come from npm packages, the photographs from Python packages. Each photograph is in
FOLDER/train or in FOLDER/test, never in both. Needs npm and a network.
"""

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py
from PIL import Image

from tools.composites import composites, write_coco

LOGO_PACKAGE = "@iconify-json/logos@1.2.19"
"""2,303 logos by gilbarbara, CC0-1.0. Trademarks belong to their owners."""

FLAG_PACKAGE = "flag-icons@7.5.0"
"""Flags by lipis, MIT."""

SHA256 = {
    LOGO_PACKAGE: "1e8907c088bbf02eab8ee1b28f37e68ef22c380f2fb579ff99736b8ce5abf13a",
    FLAG_PACKAGE: "c0b80bf0e08006a60f56621d6bc49f8c7131f4d1fef6737a165a673431f4b518",
}
"""The packages' files."""

LOGOS = ("docker-icon", "python", "firefox", "postgresql", "mastercard")
"""The logos that are learned."""

OTHER_LOGOS = ("react", "ubuntu", "redis", "slack-icon", "chrome", "gitlab", "java", "debian")
OTHER_FLAGS = ("br", "jp", "ke")

LOGO_PX = 512
"""Width at which logos are drawn, before they shrink."""

PHOTOGRAPHS = {
    "skimage": (
        "data",
        """astronaut.png brick.png camera.png cell.png chelsea.png clock_motion.png coffee.png
        coins.png grass.png gravel.png hubble_deep_field.jpg ihc.png moon.png motorcycle_left.png
        page.png retina.jpg rocket.jpg""",
    ),
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
    "matplotlib": ("mpl-data/sample_data", "grace_hopper.jpg"),
}
"""Twenty photographs: the folder in each package, and the files. README.txt there has licences."""

TEST_PHOTOGRAPHS = 6
"""Photographs that only the test part shows."""


def main() -> None:
    """Write FOLDER/train.json and FOLDER/test.json with their pictures."""
    parser = argparse.ArgumentParser(prog="python -m tools.logos", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--per-logo", type=int, default=30, help="pictures of each logo to learn")
    parser.add_argument("--seed", type=int, default=0, help="also chooses the test photographs")
    options = parser.parse_args()
    logos, others = fetch_logos()
    for part, number in write_parts(
        options.folder, photographs(), logos, others, per_logo=options.per_logo, seed=options.seed
    ).items():
        print(f"{options.folder / part}.json: {number} composites")  # noqa: T201


def write_parts(
    folder: Path,
    pictures: Mapping[str, Image.Image],
    logos: Mapping[str, Image.Image],
    others: Mapping[str, Image.Image],
    *,
    per_logo: int,
    seed: int,
) -> dict[str, int]:
    """Write the parts, and return their numbers of composites."""
    order = np.random.default_rng(seed).permutation(sorted(pictures))
    names = {"test": order[:TEST_PHOTOGRAPHS], "train": order[TEST_PHOTOGRAPHS:]}
    numbers = {"train": per_logo, "test": 30}
    written = {}
    for index, (part, number) in enumerate(numbers.items()):
        chosen = {str(name): pictures[str(name)] for name in names[part]}
        made = composites(
            chosen, logos, list(others.values()), per_logo=number, seed=2 * seed + index
        )
        all_of_them = list(made)
        write_coco(all_of_them, folder / f"{part}.json")
        written[part] = len(all_of_them)
    return written


def photographs() -> dict[str, Image.Image]:
    """Return the photographs in RGB by name."""
    found: dict[str, Image.Image] = {}
    for package, (folder, names) in PHOTOGRAPHS.items():
        home = Path(str(resources.files(package))) / folder
        found |= {name: Image.open(home / name).convert("RGB") for name in names.split()}
    return found


def fetch_logos() -> tuple[dict[str, Image.Image], dict[str, Image.Image]]:
    """Return the logos to learn and the others, in RGBA by name."""
    icons = json.loads(_read(LOGO_PACKAGE, ["package/icons.json"])["package/icons.json"])
    logos = {name: _icon(icons, name) for name in LOGOS}
    others = {name: _icon(icons, name) for name in OTHER_LOGOS}
    paths = {name: f"package/flags/4x3/{name}.svg" for name in OTHER_FLAGS}
    files = _read(FLAG_PACKAGE, list(paths.values()))
    return logos, others | {name: _draw(files[path].decode()) for name, path in paths.items()}


def _read(package: str, paths: list[str]) -> dict[str, bytes]:
    """Download an npm package, check its hash, and return some of its files."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, package]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - constants
        [file] = Path(folder).glob("*.tgz")
        data = file.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256[package]:
        sys.exit(f"{package} has the hash {found}, not {SHA256[package]}")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = {path: archive.extractfile(path) for path in paths}
        return {path: one.read() for path, one in files.items() if one is not None}


def _icon(icons: Mapping[str, Any], name: str) -> Image.Image:
    icon = icons["icons"][name]
    width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
    return _draw(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
    )


def _draw(svg: str) -> Image.Image:
    png = resvg_py.svg_to_bytes(svg_string=svg, width=LOGO_PX, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


if __name__ == "__main__":
    main()
