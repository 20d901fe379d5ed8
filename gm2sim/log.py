"""Logging: the library is silent, the command line says what it does when asked to."""

import logging


def set_up(verbose: bool) -> None:
    """Send the log to the terminal through rich: warnings always, each step with ``verbose``."""
    from rich.console import Console
    from rich.logging import RichHandler

    from gm2sim.text import visible

    class Plain(logging.Formatter):
        """Text of others is shown, not obeyed."""

        def format(self, record: logging.LogRecord) -> str:
            return visible(super().format(record))

    handler = RichHandler(console=Console(stderr=True), show_path=False, markup=False)
    handler.setFormatter(Plain("%(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
