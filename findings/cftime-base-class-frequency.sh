#!/usr/bin/env bash
# xarray 2026.9.0 with cftime 1.6.6.1: months of one calendar have no frequency if they are of cftime's base class.
#
# Guess: `cftime.datetime(2000, 1, 1, calendar="noleap")` and `cftime.DatetimeNoLeap(2000, 1, 1)` are the
# same date; cftime compares them equal.
# Seen: `xarray.infer_freq` of an index of three months gives "MS" for the subclass and raises
# TypeError ("cannot compute the time difference between dates with different calendars") for the base
# class, although all three dates say calendar "noleap".
# Output: "DatetimeNoLeap: MS; datetime(calendar='noleap'): TypeError, different calendars".
# Source: what this script prints, and `CFTimeIndex.asi8` of xarray, which counts from a date of the same
# class that it makes without a calendar: of the base class that is one of the standard calendar.
# For users: dates made by hand in this way cannot be gone on with by their frequency. Dates that xarray
# decodes from files are of the subclasses.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check xarray==2026.9.0 cftime==1.6.6.1 pandas==3.1.1 numpy==2.4.6 2>/dev/null
"$folder/env/bin/python" - <<'PY'
import cftime
import xarray as xr

subclass = [cftime.DatetimeNoLeap(2000, month, 1) for month in (1, 2, 3)]
base = [cftime.datetime(2000, month, 1, calendar="noleap") for month in (1, 2, 3)]
assert subclass == base
known = xr.infer_freq(xr.CFTimeIndex(subclass))
assert known == "MS", known
try:
    found = xr.infer_freq(xr.CFTimeIndex(base))
except TypeError as error:
    assert "different calendars" in str(error), error
else:
    raise SystemExit(f"no error any more: {found}")
print("DatetimeNoLeap: MS; datetime(calendar='noleap'): TypeError, different calendars")
PY
