"""The order of it all."""
