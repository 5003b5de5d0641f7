"""Reads pages of metrics with Prometheus' own client.

    python metrics.py < CASES      each a line of JSON:
      {"page":...}      is answered {"types":{FAMILY:TYPE},"samples":[{"name":...,"labels":{...},"value":...}]}
    python metrics.py URL          the same of the page at an address
"""

import json
import sys
import urllib.request

import cases
from prometheus_client.parser import text_string_to_metric_families


def answer(case: dict) -> dict:
    families = list(text_string_to_metric_families(case["page"]))
    samples = [sample for family in families for sample in family.samples]
    return {
        "types": {family.name: family.type for family in families},
        "samples": [{"name": sample.name, "labels": sample.labels, "value": sample.value} for sample in samples],
    }


if len(sys.argv) > 1:
    with urllib.request.urlopen(sys.argv[1], timeout=10) as page:
        print(json.dumps(answer({"page": page.read().decode()})))
else:
    cases.print_all(map(answer, cases.read()))
