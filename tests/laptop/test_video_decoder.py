"""The decoder of videos is installed when the first video comes."""

import sys
import venv
from pathlib import Path

import pytest
from retinue_cli.local import LaptopError
from retinue_cli.local.video_decoder import decoder_requirements, ensure_decoder


def test_nothing_is_installed_twice() -> None:
    installs: list[str] = []
    ensure_decoder(lambda: installs.append("install"))
    assert not installs


def test_it_is_what_the_extra_names() -> None:
    [requirement] = decoder_requirements()
    assert requirement.startswith("av")


def test_without_a_network_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(tmp_path / "environment", symlinks=True)
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "environment/bin/python"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    installs: list[str] = []
    with pytest.raises(LaptopError, match=r"cannot be installed:\n(.|\n)*connect to the network"):
        ensure_decoder(lambda: installs.append("install"))
    assert installs
