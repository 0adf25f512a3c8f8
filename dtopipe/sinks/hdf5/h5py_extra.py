"""h5py, or the words that get it: the plain install does without."""

from __future__ import annotations

from dtopipe.model.errors import SinkDependencyError

try:
    import h5py
except ImportError as error:
    raise SinkDependencyError(
        None, f"HDF5 outputs need h5py, which cannot be imported ({error})", 'pip install "dtopipe[hdf5]"'
    ) from error

__all__ = ["h5py"]
