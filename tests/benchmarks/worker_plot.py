"""Draws what an image costs each contender."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure


def plot(cpu_ms: Mapping[str, Sequence[float]], file: Path) -> None:
    """Draw a bar for each contender's median, and a dot for each round."""
    mpl.rcParams["svg.hashsalt"] = "retinue"
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axes = figure.subplots()
    names = list(reversed(cpu_ms))
    bars = axes.barh(names, [statistics.median(cpu_ms[name]) for name in names], color="#8fb3d9")
    axes.bar_label(bars, fmt="%.2f", label_type="center")
    for place, name in enumerate(names):
        axes.plot(cpu_ms[name], [place] * len(cpu_ms[name]), "o", color="#1f4e79", markersize=4)
    axes.set_xlabel("processor time an image, ms (median; dots are the rounds)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, metadata={"Date": None})
