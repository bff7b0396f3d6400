"""What a write into nowhere says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tipsc.engine.atomic import write_atomically


def test_a_folder_that_is_not_there_is_told_by_the_name_that_was_given(tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "page.html"
    with pytest.raises(FileNotFoundError, match="no such folder") as refused:
        write_atomically(file, [b"x"])
    assert refused.value.filename == str(file)
