"""Links between processes; the only importer of ZeroMQ."""
