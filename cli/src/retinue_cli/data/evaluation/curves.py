"""Draw the precision–recall curves."""

from pathlib import Path

from retinue_sdk import ConfigurationError

from retinue_cli.data.evaluation.score import Evaluation
from retinue_cli.data.export.destination import destination

SHOWN = 10
"""Maximum number of labels with a curve, the most frequent first."""

LEVELS = (0.2, 0.4, 0.6, 0.8)
"""F1 values for which a thin line is drawn."""


def draw_curves(evaluation: Evaluation, title: str, path: Path) -> None:
    """Draw precision over recall for the most frequent labels, and their mean, into a PNG.

    Raises:
        ConfigurationError: Matplotlib is not installed.
        OSError: The file cannot be written.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError(
            "--curves needs the package matplotlib: `pip install matplotlib`"
        ) from error
    import numpy as np

    recalls = np.linspace(0, 1, 101)
    figure = Figure(figsize=(9.6, 6.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for level in LEVELS:
        reach = np.linspace(level / (2 - level), 1, 100)
        axes.plot(reach, level * reach / (2 * reach - level), color="0.85", lw=0.8, zorder=0)
        axes.annotate(f"F1 {level}", (1.005, level / (2 - level)), color="0.55", fontsize=8,
                      va="center", annotation_clip=False)  # fmt: skip
    curves = [one for one in evaluation.labels if one.curve]
    shown = sorted(curves, key=lambda one: (-one.ground_truths, one.label))[:SHOWN]
    for place, one in enumerate(shown):
        # Matplotlib reads $ as mathematics, and ignores a label that begins with _.
        name = one.label.replace("$", r"\$")
        name = f"{name[:30]}…" if len(name) > 30 else name
        axes.step(recalls, one.curve, where="post", lw=1.6, color=colormaps["tab10"](place),
                  label=f" {name}  AP50 {one.ap50:.3f}  ({one.ground_truths:,})")  # fmt: skip
    if len(curves) > 1:
        mean = np.mean([one.curve for one in curves], axis=0)
        axes.step(recalls, mean, where="post", lw=2.6, color="black",
                  label=f" mean of {len(curves)} labels  mAP50 {evaluation.ap50:.3f}")  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.set_title(title.replace("$", r"\$"), fontsize=11, loc="left")
    axes.grid(color="0.93")
    axes.spines[["top", "right"]].set_visible(False)
    if curves:
        axes.legend(loc="upper left", bbox_to_anchor=(1.07, 1), frameon=False, fontsize=9,
                    title="label, AP50, number", alignment="left")  # fmt: skip
    with destination(str(path)) as file:
        figure.savefig(file, format="png")
