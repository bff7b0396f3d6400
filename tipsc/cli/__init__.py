"""The command line: a file per verb, each of which parses, calls the library and prints."""

from tipsc.cli.app import main

__all__ = ["main"]
