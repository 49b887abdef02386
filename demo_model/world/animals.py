"""The animals of the closed world."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Animal:
    name: str
    kind: str
    legs: int
    flies: bool
    swims: bool


_TABLE = """
dog mammal 4 no yes
cat mammal 4 no no
horse mammal 4 no yes
cow mammal 4 no no
lion mammal 4 no no
tiger mammal 4 no yes
bear mammal 4 no yes
mouse mammal 4 no no
bat mammal 2 yes no
whale mammal 0 no yes
eagle bird 2 yes no
owl bird 2 yes no
duck bird 2 yes yes
penguin bird 2 no yes
ostrich bird 2 no no
parrot bird 2 yes no
shark fish 0 no yes
salmon fish 0 no yes
snake reptile 0 no yes
turtle reptile 4 no yes
lizard reptile 4 no no
bee insect 6 yes no
ant insect 6 no no
butterfly insect 6 yes no
"""

ANIMALS = tuple(
    Animal(name, kind, int(legs), flies == "yes", swims == "yes")
    for name, kind, legs, flies, swims in (line.split() for line in _TABLE.split("\n")[1:-1])
)
KINDS = tuple(sorted({animal.kind for animal in ANIMALS}))


def article(noun: str) -> str:
    """an owl, a dog."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
