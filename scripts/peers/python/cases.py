"""How a test asks a peer: one case a line on standard input, as JSON, and one answer a line, in the same order."""

import json
import sys
from collections.abc import Iterable, Iterator


def read() -> Iterator[dict]:
    return (json.loads(line) for line in sys.stdin)


def print_all(answers: Iterable[dict]) -> None:
    for answer in answers:
        print(json.dumps(answer))
