from __future__ import annotations

import pytest

from xr4dvar.errors import InputError
from xr4dvar.labels import Axes, by_role


def test_by_role() -> None:
    axes = Axes(time="t", y="nav_lat", x="nav_lon", batch=("member",))
    given = {"longitude": 1, "nav_lat": 2, "day": 3}
    assert list(by_role(given, axes, "patch").items()) == [("time", 3), ("y", 2), ("x", 1)]


def test_by_role_prefers_dimension_names() -> None:
    assert by_role({"x": 1, "y": 2}, Axes(y="x", x="y"), "patch") == {"y": 1, "x": 2}


def test_by_role_lists_all_unknown_keys() -> None:
    axes = Axes(y="lat", x="lon", batch=("member",))
    with pytest.raises(InputError) as caught:
        by_role({"time": 1, "member": 1, "foo": 1, "lat": 1, "y": 2}, axes, "patch")
    what = [what for what, _ in caught.value.problems]
    assert what == [
        "patch: 'time' is not an axis of the data",
        "patch: 'member' is not cut into patches, its entries are independent",
        "patch: 'foo' is not an axis of the data",
        "patch: 'y' and another key are both the y axis",
    ]
