"""The C side's pool of threads, which shares out decode steps and products."""

import ctypes

import torch

from assistant.errors import EngineError
from assistant.model.native.build import load_library
from assistant.model.native.structs import Convs, Product, Stack, Step
from assistant.model.quantized import GROUP


class Threads:
    """A pool of threads; one call at a time, not for two callers at once.

    Raises:
        DependencyError: there is no compiler to build the C part with.
        EngineError: no memory.
    """

    def __init__(self, widest: int, threads: int | None = None) -> None:
        """``widest``: the most columns that a matrix may have; ``threads``: as many as PyTorch has, if none
        are named.
        """
        self.widest = -(-widest // GROUP) * GROUP
        self._library = load_library()
        self._library.pool_open.restype = ctypes.c_void_p
        self._library.pool_step.argtypes = (ctypes.c_void_p, ctypes.POINTER(Step))
        self._library.pool_multiply.argtypes = (ctypes.c_void_p, ctypes.POINTER(Product))
        self._library.pool_multiply.restype = None
        self._library.pool_stack.argtypes = (ctypes.c_void_p, ctypes.POINTER(Stack))
        self._library.pool_convs.argtypes = (ctypes.c_void_p, ctypes.POINTER(Convs))
        self._library.pool_close.argtypes = (ctypes.c_void_p,)
        self._pool = self._library.pool_open(threads or torch.get_num_threads(), self.widest)
        if not self._pool:
            raise EngineError("no memory for the CPU decoder's threads")

    def __del__(self) -> None:
        pool = getattr(self, "_pool", None)
        if pool:
            self._library.pool_close(pool)

    def step(self, step: Step) -> None:
        """Run a step of the decoder.

        Raises:
            EngineError: no memory.
        """
        if self._library.pool_step(self._pool, ctypes.byref(step)):
            raise EngineError("no memory for a step of the CPU decoder")

    def stack(self, stack: Stack) -> None:
        """Run hearing's layers.

        Raises:
            EngineError: no memory.
        """
        if self._library.pool_stack(self._pool, ctypes.byref(stack)):
            raise EngineError("no memory for hearing's layers")

    def convs(self, convs: Convs) -> None:
        """Run the voice's blocks.

        Raises:
            EngineError: no memory.
        """
        if self._library.pool_convs(self._pool, ctypes.byref(convs)):
            raise EngineError("no memory for the voice's blocks")

    def multiply(self, product: Product) -> None:
        """Fill the product's ``out``."""
        self._library.pool_multiply(self._pool, ctypes.byref(product))
