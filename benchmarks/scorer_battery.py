"""How often the scorers are right on their batteries of answers: ``python -m benchmarks.scorer_battery``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from orkester.evals.scorers import scorer

BATTERY = Path(__file__).resolve().parents[1] / "tests" / "evals" / "scorers" / "battery"


def table() -> list[str]:
    """A row for each scorer: cases, true positives, true negatives, false positives and false negatives."""
    rows = []
    for file in sorted(BATTERY.glob("*.jsonl")):
        counts: Counter[tuple[bool, bool]] = Counter()
        for line in file.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            made = scorer({file.stem: case["settings"]} if case.get("settings") else file.stem)
            counts[made.score(case["answer"], case["expected"]) == 1, case["score"] == 1] += 1
        numbers = (counts[True, True], counts[False, False], counts[True, False], counts[False, True])
        rows.append(f"| `{file.stem}` | {sum(counts.values()):,} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return rows


if __name__ == "__main__":
    print("\n".join(table()))
