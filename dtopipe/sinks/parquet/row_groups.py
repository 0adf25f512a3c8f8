"""How many rows a Parquet output gathers until they are a row group, which its readers see."""

ROWS_OF_A_GROUP = 2**20
# They wait in the tail as some 200 bytes each, and come slowly: at 10 Hz a group is two hours.
READINGS_OF_A_GROUP = 2**16
