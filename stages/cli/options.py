"""What the parsers of several commands share."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

Command = Callable[[argparse.Namespace], int]
"""Runs one command with its options and returns the exit code."""


class Commands(Protocol):
    """What `add_subparsers` returns, as far as it is used here."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:  # noqa: A002
        """Adds one command."""
        ...


def store_option(parser: argparse.ArgumentParser) -> None:
    """Adds the required `--store`."""
    parser.add_argument("--store", type=Path, required=True, help="the DuckDB file")


def json_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--json`."""
    parser.add_argument("--json", action="store_true", help="print the answer as JSON on stdout")


def positive(text: str) -> int:
    """Returns a whole number of at least 1; argparse shows what is wrong with another."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number
