"""From a model and data in memory to an engine: in a notebook, or in a script of one's own."""

from tipsc.notebook.build import Built, build, engine_from

__all__ = ["Built", "build", "engine_from"]
