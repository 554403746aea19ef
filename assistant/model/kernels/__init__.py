"""Triton kernels for GPUs; imported only where one is used."""
