"""One HDF5 file: grown by chunks, whole at every instant."""
