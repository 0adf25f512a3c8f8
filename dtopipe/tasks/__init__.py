"""Where the driver library's programs look for blocks, readings and tasks."""
