"""Control groups limit cores and memory, whichever version they have."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retinue_sdk import cores
from retinue_sdk.cores import usable_cores
from retinue_sdk.memory_limit import usable_memory_bytes

HOST_CORES = 16


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a host of sixteen cores without a quota."""
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(HOST_CORES)), raising=False)
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


V1 = "cpu,cpuacct"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, HOST_CORES),
        ({"membership": "0::/"}, HOST_CORES),
        ({"membership": "0::/", "cpu.max": "max 100000"}, HOST_CORES),
        ({"membership": "0::/", "cpu.max": "200000 100000\n"}, 2),
        ({"membership": "0::/", "cpu.max": "150000 100000"}, 2),
        ({"membership": "0::/", "cpu.max": "25000 100000"}, 1),
        ({"membership": "0::/", "cpu.max": "9900000 100000"}, HOST_CORES),
        ({"membership": "0::/a/b", "a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        ({"membership": "0::/a", "a/cpu.max": "400000 100000", "cpu.max": "200000 100000"}, 2),
        ({"membership": "0::/../../host", "cpu.max": "200000 100000"}, 2),
        (
            {
                "membership": f"9:memory:/m\n4:{V1}:/docker/1",
                f"{V1}/docker/1/cpu.cfs_quota_us": "200000",
                f"{V1}/docker/1/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        (
            {
                "membership": "4:cpu,cpuacct:/docker/of-the-host",
                "cpu/cpu.cfs_quota_us": "50000",
                "cpu/cpu.cfs_period_us": "50000",
            },
            1,
        ),
        (
            {
                "membership": "4:cpu:/",
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
            },
            HOST_CORES,
        ),
        (
            {
                "membership": "4:cpuset:/",
                "cpu/cpu.cfs_quota_us": "100000",
                "cpu/cpu.cfs_period_us": "100000",
            },
            HOST_CORES,
        ),
    ],
)
def test_the_quota_of_a_control_group(host: Path, files: dict[str, str], expected: int) -> None:
    write(host, files)
    assert usable_cores() == expected


GIB = 2**30


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 64 * GIB),
        ({"membership": "0::/", "memory.max": "max\n"}, 64 * GIB),
        ({"membership": "0::/", "memory.max": f"{2 * GIB}\n"}, 2 * GIB),
        ({"membership": "0::/a", "a/memory.max": f"{2 * GIB}", "memory.max": f"{GIB}"}, GIB),
        ({"membership": "4:memory:/", "memory/memory.limit_in_bytes": f"{GIB}"}, GIB),
        (
            {"membership": "4:memory:/", "memory/memory.limit_in_bytes": "9223372036854771712"},
            64 * GIB,
        ),
        ({"membership": "0::/", "memory.max": "?"}, 64 * GIB),
    ],
)
def test_the_memory_of_a_control_group(
    host: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    sizes = {"SC_PAGE_SIZE": 4_096, "SC_PHYS_PAGES": 64 * GIB // 4_096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__, raising=False)
    write(host, files)
    assert usable_memory_bytes() == expected


@given(membership=st.text(), quota=st.text())
def test_files_that_say_something_else_are_no_quota(
    tmp_path_factory: pytest.TempPathFactory, membership: str, quota: str
) -> None:
    root = tmp_path_factory.mktemp("cgroups")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "CGROUPS", root)
        patch.setattr(cores, "MEMBERSHIP", root / "membership")
        (root / "membership").write_bytes(membership.encode("utf-8", "surrogatepass"))
        (root / "cpu.max").write_bytes(quota.encode("utf-8", "surrogatepass"))
        assert 1 <= usable_cores() <= HOST_CORES


def test_a_thread_for_each_core_of_the_quota(host: Path) -> None:
    pytest.importorskip("retinue_onnx")
    from retinue_onnx.objects import ObjectOptions
    from retinue_onnx.parallelism import parallelism

    write(host, {"membership": "0::/", "cpu.max": "200000 100000"})
    divided = parallelism(ObjectOptions(providers=("CPUExecutionProvider",)))
    assert (divided.calls, divided.threads) == (2, 1)
