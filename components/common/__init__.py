"""What every part of the program uses."""
