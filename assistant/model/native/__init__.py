"""The CPU decoder: one C file that runs a whole step, built once with whatever compiler is at hand."""
