# SPDX-License-Identifier: Apache-2.0
"""The reader of pages itself: a block that it overlooks would be a promise nobody checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import programs as subject

PAGE = """\
# A page

```python
x = 1
```

<!-- continues -->
```python
print(x)
```

It prints

<!-- output -->

```text
1
```

1. a list
   ```python
   print(2)
   ```

<!-- no-run: a signature -->
```python
def f(x: int, ...) -> str
```

````md
```python
not a program
```
````
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE, "utf-8")
    return path


def test_blocks_become_programs(page: Path) -> None:
    found = subject.programs(page)

    assert ["x = 1\n", "x = 1\n\nprint(x)\n", "print(2)\n"] == [program.source for program in found]
    assert [None, "1\n", None] == [program.output for program in found]
    assert [3, 8, 21] == [program.block.line for program in found]


def test_a_block_is_left_out_only_for_a_reason(page: Path) -> None:
    page.write_text("<!-- no-run -->\n```python\nx\n```\n", "utf-8")

    with pytest.raises(AssertionError, match="must give the reason"):
        subject.programs(page)


def test_a_comment_that_is_not_directly_above_says_nothing(page: Path) -> None:
    page.write_text("<!-- no-run: far away -->\nprose\n```python\nx\n```\n", "utf-8")

    assert ["x\n"] == [program.source for program in subject.programs(page)]


def test_a_program_that_fails_or_warns_fails_its_test(tmp_path: Path) -> None:
    assert subject.run_program("print(3)", tmp_path) == "3\n"
    for source in ("import sys; sys.exit(3)", "import warnings; warnings.warn('no')"):
        with pytest.raises(AssertionError, match="exit"):
            subject.run_program(source, tmp_path)


def test_a_program_of_tests_is_run_by_pytest(tmp_path: Path) -> None:
    assert "1 passed" in subject.run_program("def test_sum():\n    assert 4 == 2 + 2\n", tmp_path)
    with pytest.raises(AssertionError, match="1 failed"):
        subject.run_program("def test_sum():\n    assert 5 == 2 + 2\n", tmp_path)


def test_a_command_that_cannot_be_run_is_no_documentation() -> None:
    with pytest.raises(AssertionError, match="begins with one of"):
        subject.run_command("curl examples/x.py")
