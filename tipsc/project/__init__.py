"""What the user wrote: the configuration, the targets, and the code and data that it names."""
