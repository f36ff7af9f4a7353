"""Keeps of GitHub's published description (73 MB, from standard input) what issues need.

The examples are GitHub's own. Prism keeps no state, so what an issue is at other times is added as
examples that differ in one thing from GitHub's: `Prefer: example=closed` asks for one.
"""

import copy
import json
import sys

ISSUES = "/repos/{owner}/{repo}/issues"
ISSUE = ISSUES + "/{issue_number}"
KEPT = [ISSUES, ISSUE, ISSUE + "/comments"]


def json_content(answer):
    """The JSON of an answer, where it has any."""
    return answer.get("content", {}).get("application/json", {})


def main():
    whole = json.load(sys.stdin)
    paths = {path: whole["paths"][path] for path in KEPT}
    for path in paths.values():
        for operation in path.values():
            answers = operation.get("responses", {}).values() if isinstance(operation, dict) else []
            for examples in (json_content(answer).get("examples", {}) for answer in answers):
                for example in examples.values():
                    # The published file says {"value": {"value": ...}}.
                    if isinstance(example["value"], dict) and "value" in example["value"]:
                        example["value"] = example["value"]["value"]
    examples = json_content(paths[ISSUE]["get"]["responses"]["200"])["examples"]
    open_issue = examples["default"]["value"]
    assert open_issue["state"] == "open" and open_issue["number"] == 1347
    closed, nobody = copy.deepcopy(open_issue), copy.deepcopy(open_issue)
    closed["state"] = "closed"
    nobody["assignee"], nobody["assignees"] = None, []
    examples |= {"closed": {"value": closed}, "nobody": {"value": nobody}}
    kept = {name: whole[name] for name in ("openapi", "info", "servers")}
    json.dump(kept | {"components": {}, "paths": paths}, sys.stdout)


main()
