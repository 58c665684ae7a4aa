"""A process that imports a framework once, and then records with one copy of isostyle after another.

Reads a line of JSON for each recording: ``root`` (a folder with a package isostyle), ``backend``, ``patterns``, ``inputs`` (a
folder, or null for those that ship), ``out``. Answers ``@@`` and JSON: null, or what went wrong.
"""

import importlib
import json
import sys
from pathlib import Path

for line in sys.stdin:
    job = json.loads(line)
    for name in [name for name in sys.modules if name.partition(".")[0] == "isostyle"]:
        del sys.modules[name]
    sys.path[:] = [job["root"], *(path for path in sys.path if "isostyle-mutants" not in path)]
    importlib.invalidate_caches()
    problem = None
    try:
        cases = importlib.import_module("isostyle.conformance.cases")
        files = importlib.import_module("isostyle.conformance.inputs")
        record = importlib.import_module("isostyle.conformance.record")
        assert record.__file__.startswith(job["root"]), record.__file__
        inputs = files.Inputs(Path(job["inputs"])) if job["inputs"] else files.shipped_inputs()
        chosen = cases.select(cases.all_cases(), job["patterns"])
        found = record.record(job["backend"], chosen, inputs, threads=1)
        Path(job["out"]).mkdir(parents=True)
        found.save(Path(job["out"]))
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    # On a line of its own, whatever a framework has printed without an end.
    print("\n@@" + json.dumps(problem), flush=True)
