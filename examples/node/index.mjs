// A Lambda function in Node.js that evaluates a LaunchDarkly flag with OpenFeature. The layer warmflags-agent answers.
import { OpenFeature } from "@openfeature/server-sdk";
import { OFREPProvider } from "@openfeature/ofrep-provider";

const baseUrl = process.env.OFREP_ENDPOINT ?? "http://127.0.0.1:8016";
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl }));
const flags = OpenFeature.getClient();

export async function handler(user) {
  const on = await flags.getBooleanValue("new-checkout", false, { targetingKey: user });
  return on ? "the new checkout" : "the old checkout";
}
