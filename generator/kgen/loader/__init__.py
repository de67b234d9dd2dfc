"""What glibc's dynamic loader would open on this machine, told without opening it."""
