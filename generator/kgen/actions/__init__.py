"""What kgen does: values in, results out. No command line is parsed here, and nothing is printed."""
