"""Options, and the fingerprint by which a run knows them."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, ValidationError
from retinue_sdk import DetectorOptions, Operational


class Region(BaseModel):
    name: str = "eu"
    weights: Mapping[str, float] = Field(default_factory=dict)


class Options(DetectorOptions):
    """Options of every sort."""

    threshold: float = 0.5
    labels: frozenset[str] = frozenset()
    order: tuple[str, ...] = ()
    weights: Mapping[str, float] = Field(default_factory=dict)
    region: Region = Region()
    model_path: Path | None = None
    key: SecretStr = SecretStr("")
    batch: Annotated[int, Operational()] = 1
    timeout_seconds: Annotated[float, Field(gt=0), Operational()] = 10
    device: Annotated[str, Operational(), Field(description="Where to work.")] = "cpu"


class Reordered(DetectorOptions):
    """The same in another order."""

    device: Annotated[str, Operational()] = "gpu"
    key: SecretStr = SecretStr("")
    model_path: Path | None = None
    region: Region = Region()
    weights: Mapping[str, float] = Field(default_factory=dict)
    order: tuple[str, ...] = ()
    labels: frozenset[str] = frozenset()
    threshold: float = 0.5


def test_the_fingerprint_of_no_options_never_changes() -> None:
    # Run keys of years hang on these: a change here makes every image worth detecting again.
    assert DetectorOptions().fingerprint() == "6ab8b5a6588f029efd60a0460e4f5bb4"
    assert DetectorOptions().fingerprint("sha256:1") != DetectorOptions().fingerprint()


def test_a_fingerprint_is_32_hex_digits() -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", Options().fingerprint("model"))


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0.6},
        {"labels": {"Dog"}},
        {"order": ("Dog",)},
        {"weights": {"Dog": 1.0}},
        {"region": {"name": "us"}},
        {"region": {"weights": {"a": 1}}},
        {"model_path": "/models/a.onnx"},
    ],
)
def test_what_changes_findings_changes_the_fingerprint(change: dict[str, Any]) -> None:
    assert Options(**change).fingerprint() != Options().fingerprint()


@given(st.integers(), st.floats(min_value=0, exclude_min=True), st.text())
def test_operational_options_do_not_matter(batch: int, seconds: float, device: str) -> None:
    options = Options(batch=batch, timeout_seconds=seconds, device=device)
    assert options.fingerprint() == Options().fingerprint()


def test_the_order_of_options_does_not_matter() -> None:
    assert Reordered().fingerprint() == Options().fingerprint()
    one = Options(weights={"a": 1, "b": 2}, region=Region(weights={"c": 1, "d": 2}))
    two = Options(region=Region(weights={"d": 2, "c": 1}), weights={"b": 2, "a": 1})
    assert one.fingerprint() == two.fingerprint()


def test_the_order_of_a_sequence_does_matter() -> None:
    one, two = Options(order=("a", "b")), Options(order=("b", "a"))
    assert one.fingerprint() != two.fingerprint()


PROGRAM = """
from retinue_sdk import DetectorOptions
class Options(DetectorOptions):
    labels: frozenset[str] = frozenset({"Dog", "Cat", "Person", "Car", "Tree"})
    pairs: dict[str, frozenset[tuple[str, int]]] = {"a": frozenset({("x", 1), ("y", 2), ("z", 3)})}
print(Options().fingerprint())
"""


def test_a_set_has_the_same_fingerprint_in_every_process() -> None:
    # Python orders the strings of a set anew in each process.
    fingerprints = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(fingerprints) == 1


def test_secrets_neither_matter_nor_appear(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    dumps = json.dumps

    def recording(value: object, **options: Any) -> str:
        texts.append(dumps(value, **options))
        return texts[-1]

    monkeypatch.setattr(json, "dumps", recording)
    one, two = Options(key=SecretStr("hunter2")), Options(key=SecretStr("correct horse"))
    assert one.fingerprint() == two.fingerprint()
    assert texts
    assert "hunter2" not in "".join(texts)
    assert "hunter2" not in repr(one)


def test_options_are_frozen_and_know_their_names() -> None:
    options = Options()
    with pytest.raises(ValidationError, match="frozen"):
        options.threshold = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="treshold"):
        Options(treshold=0.5)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="timeout_seconds"):
        Options(timeout_seconds=0)


def described(options: type[DetectorOptions]) -> dict[str, str | None]:
    """Return the description of each option, as ``retinue plugins`` shows it."""
    properties = options.model_json_schema()["properties"]
    return {name: schema.get("description") for name, schema in properties.items()}


def test_docstrings_describe_what_is_inherited_too() -> None:
    class Base(DetectorOptions):
        first: int = 1
        """Of the base.

        In two parts.
        """
        second: int = Field(default=2, description="In the field.")
        """Not this one."""
        third: int = 3

    class Derived(Base):
        first: int = 4
        """Of the class itself."""
        fourth: int = 5

    assert described(Base) == {
        "first": "Of the base.\n\nIn two parts.",
        "second": "In the field.",
        "third": None,
    }
    assert described(Derived) == {
        "first": "Of the class itself.",
        "second": "In the field.",
        "third": None,
        "fourth": None,
    }


def test_options_without_source_have_no_descriptions() -> None:
    scope: dict[str, type[DetectorOptions]] = {"DetectorOptions": DetectorOptions}
    exec("class Made(DetectorOptions):\n    size: int = 1\n    'Of the size.'\n", scope)
    assert described(scope["Made"]) == {"size": None}


def test_defaults_are_checked_and_docstrings_describe() -> None:
    class Wrong(DetectorOptions):
        threshold: Annotated[float, Field(le=1)] = 2
        """How sure to be."""

    assert described(Wrong) == {"threshold": "How sure to be."}
    with pytest.raises(ValidationError, match="threshold"):
        Wrong()
