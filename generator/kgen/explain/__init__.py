"""What the solver and the lockers answer, as text for people and as data for programs."""
