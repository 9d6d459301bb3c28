"""Recorded calls on disk: ``tables/NAME.parquet`` a row a call, ``NAME-blocks.parquet`` a row a block, ``NAME.json``.

pyarrow is needed to read them; it is no dependency of Orkester's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orkester.evals.scorers import scorer
from orkester.optim.study.space import Grid, Space

from .compose import NONE, Calls, compose
from .table import Table

TABLES = Path(__file__).with_name("tables")
#: Columns of calls with how they are stored; ``stage`` is 0 for the question alone, else the round of a debate.
COLUMNS: Mapping[str, str] = {
    "repetition": "uint8",
    "stage": "uint8",
    "model": "uint8",
    "temperature": "uint8",
    "agents": "uint8",
    "sample": "uint8",
    "example": "uint16",
    "block": "uint16",
    "score": "float32",
    "latency_s": "float32",
    "energy_j": "float32",
    "input_tokens": "uint16",
    "output_tokens": "uint16",
    "cached_tokens": "uint16",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """Calls that were made once, with answers.

    Attributes:
        name: of the table.
        facts: ``NAME.json``: space, models, temperatures, examples with questions, scorer, and how it was recorded.
        columns: by name, see ``COLUMNS``. ``sample`` is a debater's seat in stages after 0; ``model``, ``temperature``
            and ``example`` are indices.
        answers: the text of each call.
    """

    name: str
    facts: Mapping[str, Any]
    columns: Mapping[str, NDArray[Any]]
    answers: NDArray[Any]

    @property
    def space(self) -> Space:
        """The teams that can be composed."""
        return Space(
            {
                topology: {knob: Grid(tuple(values)) for knob, values in grids.items()}
                for topology, grids in self.facts["space"].items()
            }
        )

    @property
    def questions(self) -> Sequence[Mapping[str, Any]]:
        """``id``, ``question`` and ``expected`` of the examples."""
        found: Sequence[Mapping[str, Any]] = self.facts["examples"]
        return found

    def rows(self, repetition: int = 0) -> NDArray[np.intp]:
        """The calls of one repetition."""
        return np.flatnonzero(self.columns["repetition"] == repetition)

    @cached_property
    def votes(self) -> NDArray[np.int32]:
        """Equal where the scorer takes two answers for the same vote."""
        texts, places = np.unique(self.answers, return_inverse=True)
        key = scorer(self.facts["scorer"]).key
        _, codes = np.unique([key(str(text)) for text in texts], return_inverse=True)
        return codes[places].astype(np.int32)

    def calls(self, repetition: int = 0) -> Calls:
        """As arrays that teams are composed from; ids count the repetition's rows."""
        rows = self.rows(repetition)
        column = {name: values[rows] for name, values in self.columns.items()}
        models, temperatures = len(self.facts["models"]), len(self.facts["temperatures"])
        examples = len(self.questions)
        where = [column[name].astype(np.intp) for name in ("model", "temperature", "agents", "stage", "sample")]
        model, temperature, agents, stage, sample = where
        example = column["example"].astype(np.intp)
        ids = np.arange(len(rows), dtype=np.int32)
        alone, after = stage == 0, stage > 0
        samples = int(sample[alone].max(initial=0)) + 1
        base = np.full((models, temperatures, samples, examples), NONE, np.int32)
        base[model[alone], temperature[alone], sample[alone], example[alone]] = ids[alone]
        seats, rounds = (int(values.max(initial=0)) for values in (agents, stage))
        later = np.full((models, temperatures, seats + 1, rounds + 1, seats, examples), NONE, np.int32)
        later[(*(values[after] for values in where), example[after])] = ids[after]
        return Calls(
            models=tuple(self.facts["models"]),
            temperatures=tuple(self.facts["temperatures"]),
            examples=tuple(each["id"] for each in self.questions),
            base=base,
            later=later,
            model=column["model"].astype(np.int16),
            vote=self.votes[rows],
            score=column["score"],
            latency_s=column["latency_s"],
            energy_j=column["energy_j"],
            input_tokens=column["input_tokens"].astype(np.int32),
            output_tokens=column["output_tokens"].astype(np.int32),
        )

    def table(self) -> Table:
        """Every team on every example, from the first repetition."""
        return compose(self.name, self.space, self.calls(), searched=int(self.facts["searched"]))


def read(name: str, folder: Path = TABLES) -> Recording:
    """A recording.

    Raises:
        FileNotFoundError: there is none of that name.
    """
    import pyarrow.parquet as pq

    facts = json.loads((folder / f"{name}.json").read_text())
    found = pq.read_table(folder / f"{name}.parquet")
    answers = found["answer"].combine_chunks()
    texts = np.asarray(answers.dictionary.to_pylist(), dtype=np.str_)
    return Recording(
        name=name,
        facts=facts,
        columns={column: found[column].to_numpy() for column in COLUMNS},
        answers=texts[answers.indices.to_numpy()],
    )


def write(recording: Recording, blocks: Sequence[Mapping[str, Any]], folder: Path = TABLES) -> None:
    """Write the three files.

    Args:
        recording: calls, in any order: they are sorted, so that equal values lie together.
        blocks: a row each, equal keys.
        folder: where to.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    order = np.lexsort([recording.columns[name] for name in ("sample", "example", *list(COLUMNS)[4::-1])])
    columns = {name: pa.array(recording.columns[name][order].astype(kind)) for name, kind in COLUMNS.items()}
    columns["answer"] = pa.array(recording.answers[order].tolist()).dictionary_encode()
    floats = ["latency_s", "energy_j"]
    pq.write_table(
        pa.table(columns),
        folder / f"{recording.name}.parquet",
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in columns if name not in floats],
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
    )
    pq.write_table(pa.Table.from_pylist(list(blocks)), folder / f"{recording.name}-blocks.parquet", compression="zstd")
    text = json.dumps(recording.facts, ensure_ascii=False, indent=1)
    (folder / f"{recording.name}.json").write_text(text + "\n")
