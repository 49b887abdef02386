"""How README.md's tour is read."""

import pytest

from tests.support.tour import Step, steps_of

README = """\
## Start
```console
$ not this
```
## The tour
Words.
```console
$ curl x -d '{
    "a": 1}'
{"b": ...}
$ next \\
    line |
    more
```
```python
print(1)
```

```text
1
```
Other words.
```text
no output of the above
```
## After
```console
$ nor this
```
"""


def test_commands_and_programs_come_with_what_they_print() -> None:
    assert steps_of(README) == [
        Step("console", "curl x -d '{\n    \"a\": 1}'", '{"b": ...}\n'),
        Step("console", "next \\\n    line |\n    more", ""),
        Step("python", "print(1)\n", "1\n"),
    ]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb\n", "a  \nb", True),
        ("a ... c", "a b\nb c", True),
        ("a ... c", "a b d", False),
        ("(.*)", "x", False),
        ("...", "", True),
    ],
)
def test_dots_stand_for_anything(shown: str, printed: str, same: bool) -> None:
    assert Step("console", "", shown).matches(printed) is same


def test_a_readme_without_a_tour_is_an_error() -> None:
    with pytest.raises(AssertionError, match="The tour"):
        steps_of("# Nothing\n")
