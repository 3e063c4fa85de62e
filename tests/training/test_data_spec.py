"""What a user calls a data set becomes what the settings call it, or is refused in words."""

from __future__ import annotations

import pytest

from tuun_da.errors import ConfigError
from tuun_da.training.data_spec import data_spec


def test_a_folder_or_file_is_found_by_its_path_and_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images" / "cats").mkdir(parents=True)
    (tmp_path / "x.npz").touch()
    (tmp_path / "digits").mkdir()
    for given in ("images", "./images/", tmp_path / "images", "folder:images"):
        assert data_spec(given) == f"folder:{tmp_path / 'images'}"
    for given in ("x.npz", "npz:x.npz", tmp_path / "x.npz"):
        assert data_spec(given) == f"npz:{tmp_path / 'x.npz'}"
    assert data_spec("digits") == "digits"
    assert data_spec("./digits") == f"folder:{tmp_path / 'digits'}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("digit", "data must be a folder of images, .* one of digits, .*got 'digit', and there is no such folder"),
        ("/no/such/folder", "folder:PATH or npz:PATH; got '/no/such/folder', and there is no such folder"),
        (__file__, "test_data_spec.py', which is a file"),
        ("folder:", "folder:PATH or npz:PATH; got 'folder:'"),
        (b"digits", "got bytes"),
        (3, "a pair of arrays .images, labels.; got int"),
    ],
)
def test_data_that_are_none_are_refused(data, message):
    with pytest.raises(ConfigError, match=message):
        data_spec(data)
