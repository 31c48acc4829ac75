"""Reads the JSON log of `meson test` and prints "N passed, N failed".

Counts the cases of a GoogleTest program one by one and any other test as one. Exits 1 if anything
failed, if nothing was run and, with CI=true in the environment, if anything was skipped.
"""
import json
import os
import re
import sys

CASE = re.compile(r"\[ +(OK|FAILED|SKIPPED) +\] (\S+?),? (?:where .*)?\(\d+ ms\)")
GOOD = ("OK", "EXPECTEDFAIL")


def cases_of(test):
    """(verdict, name) of each case in one entry of the log."""
    for verdict, name in CASE.findall(test.get("stdout") or ""):
        yield verdict, f"{test['name']}: {name}"


def main(log):
    verdicts = {"OK": [], "FAILED": [], "SKIPPED": []}
    try:
        with open(log, encoding="utf-8") as lines:
            tests = [json.loads(line) for line in lines]
    except OSError as error:
        print(f"tests/run: no log of the tests: {error}", file=sys.stderr)
        tests = []
    for test in tests:
        cases = list(cases_of(test))
        for verdict, name in cases:
            verdicts[verdict].append(name)
        failed = any(verdict == "FAILED" for verdict, _ in cases)
        if test["result"] == "SKIP" and not cases:
            verdicts["SKIPPED"].append(test["name"])
        elif test["result"] in GOOD:
            if not cases:
                verdicts["OK"].append(test["name"])
        elif test["result"] != "SKIP" and not failed:
            # It crashed, was stopped by its timeout, or failed outside of any case.
            verdicts["FAILED"].append(f"{test['name']} ({test['result'].lower()})")
    for verdict in ("FAILED", "SKIPPED"):
        for name in verdicts[verdict]:
            print(f"{verdict.lower()}: {name}")
    if os.environ.get("CI") == "true":
        verdicts["FAILED"] += verdicts.pop("SKIPPED")
    counts = [f"{len(verdicts['OK'])} passed", f"{len(verdicts['FAILED'])} failed"]
    if verdicts.get("SKIPPED"):
        counts.append(f"{len(verdicts['SKIPPED'])} skipped")
    print(", ".join(counts))
    return 0 if verdicts["OK"] and not verdicts["FAILED"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
