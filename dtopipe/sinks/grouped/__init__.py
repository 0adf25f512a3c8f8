"""What outputs are made of whose committed samples wait in a tail until they are enough for a group."""
