"""A run served to other machines: what is served, to whom, and by which port."""
