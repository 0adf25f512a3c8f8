"""dtopipe: a data-acquisition pipeline in which every sample is in the file or named in the run record."""

from importlib.metadata import version as _version

from dtopipe.model.errors import DtopipeError

__version__ = _version("dtopipe")

__all__ = ["DtopipeError", "__version__"]
