from pathlib import Path

import pytest

from mtl_model.remove_folder import remove_folder


@pytest.mark.parametrize("name", ["own/part", "own", "absent", "own/../own"])
def test_a_folder_below_its_parent_is_removed(tmp_path: Path, name: str) -> None:
    (tmp_path / "home/own/part").mkdir(parents=True)

    remove_folder(tmp_path / "home" / name, tmp_path / "home")

    assert not (tmp_path / "home" / name).exists()
    assert (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["..", ".", "", "own/..", "../other", "../home-2", "link", "link/part"])
def test_a_folder_that_leads_elsewhere_is_left_alone(tmp_path: Path, name: str) -> None:
    for folder in ("home/own", "other/part", "home-2"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "home/link").symlink_to(tmp_path / "other")

    with pytest.raises(ValueError, match=r"is not below .*/home: it is left alone"):
        remove_folder(tmp_path / "home" / name, tmp_path / "home")

    assert all((tmp_path / folder).exists() for folder in ("home/own", "other/part", "home-2", "home/link"))


def test_the_parent_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk/own").mkdir(parents=True)
    (tmp_path / "home").symlink_to(tmp_path / "disk")

    remove_folder(tmp_path / "home" / "own", tmp_path / "home")

    assert list((tmp_path / "disk").iterdir()) == []
