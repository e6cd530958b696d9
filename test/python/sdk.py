"""LaunchDarkly's Python SDK with its own DynamoDB store, for a test that is written in Go.

It reads one JSON document on its input, {"endpoint": URL, "region": ..., "key": ..., "secret": ..., "steps": [...]},
and writes a JSON list on its output, one answer a step. Each step names a table, a prefix ("" for none), and a command:

  init        "data": a whole environment in LaunchDarkly's wire format      -> null
  upsert      "kind": features or segments, "item": the item                 -> null
  delete      "kind", "key", "version"                                       -> null
  get         "kind", "key"                                                  -> the item, or null
  all         "kind"                                                         -> items by key
  variations  "key"                                                          -> a flag's variations, as text
  initialized                                                                -> true or false
  state       "contexts"                  -> for each context, all flags' state, with reasons
  details     "contexts", "keys"          -> for each context, for each key, [value, variation, reason]

With "stream": URI, a client reads that stream instead of a table. With "bigSegments": true, a client reads big segments
from the same table. A client runs in daemon mode and sends nothing. Its store has no cache, except while a client
evaluates.
"""

import json
import logging
import sys

from ldclient import Config, Context, LDClient
from ldclient.config import BigSegmentsConfig
from ldclient.feature_store import CacheConfig
from ldclient.integrations import DynamoDB
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

KINDS = {"features": FEATURES, "segments": SEGMENTS}


def plain(kind, item):
    """An item as plain JSON."""
    return None if item is None else kind.encode(item)


class Steps:
    def __init__(self, request):
        self.options = {
            "endpoint_url": request["endpoint"],
            "region_name": request["region"],
            "aws_access_key_id": request["key"],
            "aws_secret_access_key": request["secret"],
        }

    def store(self, step, caching=CacheConfig.disabled()):
        return DynamoDB.new_feature_store(
            step["table"], prefix=step["prefix"] or None, dynamodb_opts=self.options, caching=caching
        )

    def run(self, step):
        return getattr(self, step["do"])(step)

    def init(self, step):
        self.store(step).init({FEATURES: step["data"]["flags"], SEGMENTS: step["data"]["segments"]})

    def upsert(self, step):
        self.store(step).upsert(KINDS[step["kind"]], step["item"])

    def delete(self, step):
        self.store(step).delete(KINDS[step["kind"]], step["key"], step["version"])

    def get(self, step):
        kind = KINDS[step["kind"]]
        return plain(kind, self.store(step).get(kind, step["key"], lambda x: x))

    def all(self, step):
        kind = KINDS[step["kind"]]
        return {key: plain(kind, item) for key, item in self.store(step).all(kind, lambda x: x).items()}

    def variations(self, step):
        return [str(v) for v in self.store(step).get(FEATURES, step["key"], lambda x: x).variations]

    def initialized(self, step):
        return self.store(step).initialized

    def state(self, step):
        with self.client(step) as client:
            return [client.all_flags_state(c, with_reasons=True).to_json_dict() for c in self.contexts(step)]

    def details(self, step):
        def detail(client, context, key):
            d = client.variation_detail(key, context, None)
            return [d.value, d.variation_index, d.reason]

        with self.client(step) as client:
            return [[detail(client, c, key) for key in step["keys"]] for c in self.contexts(step)]

    def client(self, step):
        if "stream" in step:
            uri = step["stream"]
            return LDClient(
                Config("sdk-key", base_uri=uri, stream_uri=uri, send_events=False, diagnostic_opt_out=True)
            )
        store = self.store(step, caching=CacheConfig(expiration=600, capacity=10000))
        big = None
        if step.get("bigSegments"):
            prefix = step["prefix"] or None
            big = BigSegmentsConfig(
                store=DynamoDB.new_big_segment_store(step["table"], prefix=prefix, dynamodb_opts=self.options)
            )
        config = {"feature_store": store, "big_segments": big, "use_ldd": True}
        return LDClient(Config("sdk-key", **config, send_events=False, diagnostic_opt_out=True))

    @staticmethod
    def contexts(step):
        return [Context.from_dict(c) for c in step["contexts"]]


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    request = json.load(sys.stdin)
    steps = Steps(request)
    json.dump([steps.run(step) for step in request["steps"]], sys.stdout)
