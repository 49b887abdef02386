"""What an expression reads."""

import promql_parser
from promql_parser import MatchOp, VectorSelector

OPERATORS = {
    str(MatchOp.Equal): "=",
    str(MatchOp.NotEqual): "!=",
    str(MatchOp.Re): "=~",
    str(MatchOp.NotRe): "!~",
}


def selectors(expr: str) -> set[str]:
    """The series that it asks for, each as an expression of its own, without ranges and offsets."""
    found: set[str] = set()

    def visit(node: object) -> None:
        if isinstance(node, VectorSelector):
            matchers = [
                f'{one.name}{OPERATORS[str(one.op)]}"{one.value}"' for one in node.matchers.matchers
            ]
            found.add(f"{node.name}{{{','.join(matchers)}}}")

    promql_parser.walk(promql_parser.parse(expr), visit)
    return found
