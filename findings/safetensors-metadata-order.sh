#!/usr/bin/env bash
# safetensors 0.8.0 (Python 3.11, numpy 2.4.6): the same arrays with the same metadata give other bytes.
#
# Guess: `safetensors.numpy.save(arrays, metadata)` is a pure function: a file can be told by its digest,
# and saving a model twice gives the same file.
# Seen: with five metadata keys, twenty calls in one process give several different byte strings of
# equal length. They differ in the order of the keys inside `__metadata__` of the JSON header only; with
# the header parsed, and in the bytes of the tensors, all are equal. One key gives one byte string.
# Output: "five keys: several byte strings, one content; one key: one byte string".
# Source: what this script prints.
# For users: a digest of the file does not tell whether two models are the same. Sort the header, or
# make the digest of the arrays and the metadata.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6 2>/dev/null
"$folder/env/bin/python" - <<'PY'
import json

import numpy as np
from safetensors.numpy import save


def parts(content):
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


array = {"a": np.arange(3.0)}
many = {save(array, {key: key for key in "abcde"}) for _ in range(20)}
one = {save(array, {"a": "a"}) for _ in range(20)}
first, *others = (parts(content) for content in many)
same = all(other == first for other in others)
assert len(many) > 1 and same and len(one) == 1, (len(many), same, len(one))
print("five keys: several byte strings, one content; one key: one byte string")
PY
