#!/usr/bin/env bash
# xarray 2026.9.0 (Python 3.11, numpy 2.4.6): Dataset.map loses the attributes that its function sets.
#
# Guess: `ds.map(lambda field: field.assign_attrs(units="cm"))` gives fields in cm, and keep_attrs only says
# whether the attributes of the old fields are copied, as its docstring reads ("returned without
# copying the attributes").
# Seen: with keep_attrs=True the units of the old field come back over the new ones; with keep_attrs=False
# the field has no attribute at all. A dict comprehension over the variables keeps what the function set.
# Output: "keep_attrs=True: m; keep_attrs=False: none; by hand: cm".
# Source: what this script prints; pydata/xarray issues 11356 and 11019, open.
# For users: units set inside `map` are silently the old ones. Build the Dataset from a dict.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check xarray==2026.9.0 numpy==2.4.6 2>/dev/null
"$folder/env/bin/python" - <<'PY'
import xarray as xr

ds = xr.Dataset({"height": ("x", [1.0, 2.0], {"units": "m"})})


def in_cm(field):
    return (100 * field).assign_attrs(units="cm")


kept = ds.map(in_cm, keep_attrs=True).height.attrs.get("units", "none")
dropped = ds.map(in_cm, keep_attrs=False).height.attrs.get("units", "none")
by_hand = xr.Dataset({name: in_cm(field) for name, field in ds.items()}).height.attrs["units"]
assert (kept, dropped, by_hand) == ("m", "none", "cm"), (kept, dropped, by_hand)
print(f"keep_attrs=True: {kept}; keep_attrs=False: {dropped}; by hand: {by_hand}")
PY
