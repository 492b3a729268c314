"""Plots of findings as pictures: one kind of axes, marks and words for the page, for Prefect and for the docs.

A plot is drawn as places, paths and words (`drawing.py`); colours are in the sheets' CSS, and no plot knows its page.
"""

from models.report.plots.drawing import Drawing
from models.report.plots.numbers import plot_table
from models.report.plots.pictures import draw_plot, drawings_svg, plot_svg

__all__ = ["Drawing", "draw_plot", "drawings_svg", "plot_svg", "plot_table"]
