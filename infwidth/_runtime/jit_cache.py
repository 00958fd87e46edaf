"""Machine code on disk: what is damaged there is compiled again, and what cannot be written is left out."""

import pickle
from contextlib import suppress
from hashlib import sha256
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps


class _Sealed(CompileResultCacheImpl):
    """What numba stores of a compiled function, with its digest: damaged machine code would crash, or be wrong."""

    def reduce(self, cres: Any) -> tuple[bytes, bytes]:
        code = dumps(super().reduce(cres))
        return sha256(code).digest(), code

    def rebuild(self, target_context: Any, payload: tuple[bytes, bytes]) -> Any:
        digest, code = payload
        if sha256(code).digest() != digest:
            raise ValueError("the machine code has changed on disk")
        return super().rebuild(target_context, pickle.loads(code))


class MachineCodeCache(FunctionCache):
    """numba's cache of a function, which never stops a computation.

    A damaged index or data file counts as empty, and is replaced, atomically, with what is compiled then. So
    several processes may read, renew and fill one folder.
    """

    _impl_class = _Sealed

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling a damaged file can raise anything
            with suppress(OSError):  # the folder may be read only by now
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(Exception):  # disk full, folder gone, index damaged by now: the next process compiles again
            super().save_overload(sig, data)
