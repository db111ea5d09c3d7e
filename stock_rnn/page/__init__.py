"""HTML pages of one file: a look, tables, and pictures as SVG with a text."""

from stock_rnn.page.report import Command, Picture, Section, Table, render_page, write_page
from stock_rnn.page.svg import inline_svg
from stock_rnn.page.templates import environment

__all__ = [
    "Command",
    "Picture",
    "Section",
    "Table",
    "environment",
    "inline_svg",
    "render_page",
    "write_page",
]
