// OpenFeature for Node.js with its OFREP provider, for a test that is written in Go. Each line on the input is
// {"type", "key", "default", "context"}, and each line on the output is the answer:
// {"value", "variant", "reason", "errorCode"}.
// The first line on the input is the agent's address.
import { createInterface } from "node:readline";
import { OpenFeature } from "@openfeature/server-sdk";
import { OFREPProvider } from "@openfeature/ofrep-provider";

const evaluate = {
  boolean: "getBooleanDetails",
  string: "getStringDetails",
  number: "getNumberDetails",
  object: "getObjectDetails",
};

let client;
for await (const line of createInterface({ input: process.stdin })) {
  if (client === undefined) {
    await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: line }));
    client = OpenFeature.getClient();
    continue;
  }
  const step = JSON.parse(line);
  const details = await client[evaluate[step.type]](step.key, step.default, step.context);
  const { value, variant, reason, errorCode } = details;
  process.stdout.write(JSON.stringify({ value, variant, reason, errorCode }) + "\n");
}
