"""Pure decisions: no clock, no lock, no socket, no log; time is an argument."""
