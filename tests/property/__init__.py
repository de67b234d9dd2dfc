"""Laws of the solver, checked on small matrices that hypothesis makes up."""
