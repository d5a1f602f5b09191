"""The 1,000 classes of ImageNet, and the groups that they belong to."""

from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class ImageNet:
    """The classes and their groups.

    Attributes:
        names: The class names, ordered by id.
        groups: The class ids of each group by its name, small groups first. Groups overlap: a tabby
            is a cat and an animal. A group can have the name of one of its classes.
        parents: The groups that contain a class or a whole group, by its name, small ones first.
    """

    names: tuple[str, ...]
    groups: dict[str, frozenset[int]]
    parents: dict[str, tuple[str, ...]]


@cache
def imagenet() -> ImageNet:
    """Return the classes and groups of the package's files."""
    names = tuple(_lines("imagenet.txt"))
    ids = {name: index for index, name in enumerate(names)}
    groups: dict[str, frozenset[int]] = {}
    for line in _lines("imagenet_groups.txt"):
        group, listed = line.split(": ")
        spans = [member.partition("..") for member in listed.split(", ")]
        groups[group] = frozenset(
            index for first, _, last in spans for index in range(ids[first], ids[last or first] + 1)
        )
    groups = dict(sorted(groups.items(), key=lambda item: len(item[1])))
    members = {name: frozenset({index}) for name, index in ids.items()} | groups
    parents = {
        name: tuple(group for group, others in groups.items() if group != name and inside <= others)
        for name, inside in members.items()
    }
    return ImageNet(names, groups, parents)


def _lines(name: str) -> list[str]:
    file = resources.files("retinue_onnx") / "labels" / name
    return file.read_text(encoding="utf-8").splitlines()
