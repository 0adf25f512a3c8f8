"""Raw codes in `.dt-raw` files."""
