"""A Lambda function in Python that evaluates a LaunchDarkly flag with OpenFeature through the layer warmflags-agent."""

import os

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

api.set_provider(OFREPProvider(os.environ.get("OFREP_ENDPOINT", "http://127.0.0.1:8016")))
flags = api.get_client()


def handler(user, context):
    on = flags.get_boolean_value("new-checkout", False, EvaluationContext(user))
    return "the new checkout" if on else "the old checkout"
