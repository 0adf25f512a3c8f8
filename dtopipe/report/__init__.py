"""One page that tells of a run, with nothing beside it: for who was there, and for who was not."""
