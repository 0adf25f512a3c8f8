"""Data Translation's boards, by their driver library."""
