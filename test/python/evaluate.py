"""OpenFeature for Python with its OFREP provider, for a test that is written in Go.

Each line on the input is {"type", "key", "default", "context"}, and each line on the output is the answer: {"value",
"variant", "reason", "errorCode"}. The first line on the input is the agent's address.
"""

import json
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

api.set_provider(OFREPProvider(sys.stdin.readline().strip()))
client = api.get_client()
evaluate = {
    "boolean": client.get_boolean_details,
    "string": client.get_string_details,
    "integer": client.get_integer_details,
    "number": client.get_float_details,
    "object": client.get_object_details,
}
for line in sys.stdin:
    step = json.loads(line)
    attributes = step["context"]
    context = EvaluationContext(attributes.pop("targetingKey", None), attributes)
    details = evaluate[step["type"]](step["key"], step["default"], context)
    answer = {
        "value": details.value,
        "variant": details.variant,
        "reason": details.reason,
        "errorCode": details.error_code,
    }
    print(json.dumps(answer, default=str), flush=True)
