"""What is known of the dialect of Excel before anything of it is imported."""

EXCEL = "excel"
# The sheet of Excel and of LibreOffice, the names of the columns among them.
MOST_ROWS = 2**20
