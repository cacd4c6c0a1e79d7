"""What is done about what is wanted: decisions over objects, made anew whenever something changed. Pure."""
