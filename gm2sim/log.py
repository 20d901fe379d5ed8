"""Logging: the library is silent, the command line says what it does when asked to."""

import logging


def set_up(verbose: bool) -> None:
    """Send the log to the terminal through rich: warnings always, each step with ``verbose``."""
    from rich.console import Console
    from rich.logging import RichHandler

    handler = RichHandler(console=Console(stderr=True), show_path=False)
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s", handlers=[handler])
