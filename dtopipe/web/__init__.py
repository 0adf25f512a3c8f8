"""The web page: a run in progress as traces and one light, in a process that the run does not notice."""
