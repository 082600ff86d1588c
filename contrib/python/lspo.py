"""Predictions of liblspo: how long a step takes, what limits it, what memory it needs, and what runs when.

    import lspo
    step = lspo.predict(model="llama-7b", machine="rtx4090", policy="lsp", batch=8)
    print(step["iteration_s"], step["fits"])

Keywords are the options of `lspo sim`, with _ for -; set={"link.h2d_Bps": "20GB/s"} changes fields of the machine or
model.  Names of the result are those of `lspo sim --format json`.  A wrong question raises lspo.Error.  Threads may
predict at the same time.

The library is found by LSPO_LIBRARY, the path of liblspo.so, or else where the system looks.
"""

import ctypes
import ctypes.util
import json
import os
import warnings


class Error(Exception):
    """What lspo says is wrong with a question."""


def _load():
    path = os.environ.get("LSPO_LIBRARY") or ctypes.util.find_library("lspo") or "liblspo.so.0"
    library = ctypes.CDLL(path)
    library.lspo_predict_json.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)]
    library.lspo_predict_json.restype = ctypes.c_int
    library.lspo_free.argtypes = [ctypes.c_void_p]
    library.lspo_free.restype = None
    library.lspo_known_name.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    library.lspo_known_name.restype = ctypes.c_char_p
    library.lspo_release.restype = ctypes.c_char_p
    return library


_library = _load()

release = _library.lspo_release().decode()


def predict(**question):
    """One prediction as a dict; with ops=True also the list "ops": lane, kind, layer, iteration, start_s, end_s."""
    request = {key.replace("_", "-"): value for key, value in question.items() if value is not None}
    answer = ctypes.c_void_p()
    code = _library.lspo_predict_json(json.dumps(request).encode(), ctypes.byref(answer))
    if not answer.value:
        raise MemoryError("liblspo")
    try:
        result = json.loads(ctypes.string_at(answer.value))
    finally:
        _library.lspo_free(answer)
    if code != 0:
        raise Error(result["error"])
    for text in result.pop("warnings"):
        warnings.warn(text, stacklevel=2)
    return result


def names(what):
    """The names of "models", "machines", "policies" or "frameworks"."""
    found = []
    while (name := _library.lspo_known_name(what.encode(), len(found))) is not None:
        found.append(name.decode())
    if not found:
        raise Error(f"there is no list of {what}")
    return found
